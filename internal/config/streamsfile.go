package config

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"sync/atomic"
	"time"
)

// lookEvery is how often the config file is looked at. Reading a small file is
// cheap, and works where files are replaced by links, as on Kubernetes.
const lookEvery = 5 * time.Second

// StreamsFile holds the streams of a config file, which is read again when it
// changes.
type StreamsFile struct {
	path         string
	allowPrivate bool
	log          *slog.Logger
	now          atomic.Pointer[streamsVersion]
}

type streamsVersion struct {
	data    []byte // of the file
	streams []Stream
}

// OpenStreams reads the streams of the config file at a path; an empty path has
// none. An error says which key is wrong and what to do.
func OpenStreams(path string, allowPrivate bool, log *slog.Logger) (*StreamsFile, error) {
	f := &StreamsFile{path: path, allowPrivate: allowPrivate, log: log}
	streams, data, err := readStreams(path, allowPrivate)
	if err != nil {
		return nil, err
	}
	f.now.Store(&streamsVersion{data, streams})
	return f, nil
}

// Streams returns the streams as they are now.
func (f *StreamsFile) Streams() []Stream { return f.now.Load().streams }

// Version changes with the file: 16 hex digits.
func (f *StreamsFile) Version() string {
	sum := sha256.Sum256(f.now.Load().data)
	return hex.EncodeToString(sum[:8])
}

// Watch reads the file again when it changes, and tells of that, until ctx ends
// or changed fails. A file that is wrong changes nothing and is complained about
// once. What is found twice in a row counts: editors write in pieces.
func (f *StreamsFile) Watch(ctx context.Context, changed func(ctx context.Context) error) error {
	if f.path == "" {
		return nil
	}
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	var complaint string
	seen := &f.now.Load().data
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		streams, data, err := readStreams(f.path, f.allowPrivate)
		if err != nil {
			if complaint != err.Error() {
				f.log.ErrorContext(ctx, "the config file is wrong, the streams stay as they were", "err", err)
			}
			complaint, seen = err.Error(), nil
			continue
		}
		again := seen != nil && bytes.Equal(data, *seen)
		if seen = &data; !again {
			continue
		}
		complaint = ""
		if bytes.Equal(data, f.now.Load().data) {
			continue
		}
		f.now.Store(&streamsVersion{data, streams})
		f.log.InfoContext(ctx, "read the streams of the config file again; other keys need a restart", "streams", len(streams))
		if err := changed(ctx); err != nil {
			return err
		}
	}
}
