package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
)

// StreamsFile holds the streams of a config file, which is read again when it
// changes.
type StreamsFile struct {
	path string
	log  *slog.Logger
	file watched[[]Stream]
}

// OpenStreams reads the streams of the config file at a path; an empty path has
// none. An error says which key is wrong and what to do.
func OpenStreams(path string, allowPrivate bool, log *slog.Logger) (*StreamsFile, error) {
	f := &StreamsFile{path: path, log: log}
	f.file.read = func() ([]Stream, []byte, error) { return readStreams(path, allowPrivate) }
	if err := f.file.open(); err != nil {
		return nil, err
	}
	return f, nil
}

// Streams returns the streams as they are now.
func (f *StreamsFile) Streams() []Stream { return f.file.now.Load().value }

// Version changes with the file: 16 hex digits.
func (f *StreamsFile) Version() string {
	sum := sha256.Sum256(f.file.now.Load().data)
	return hex.EncodeToString(sum[:8])
}

// Watch reads the file again when it changes, and tells of that, until ctx ends
// or changed fails. A file that is wrong changes nothing and is complained about
// once. What is found twice in a row counts: editors write in pieces.
func (f *StreamsFile) Watch(ctx context.Context, changed func(ctx context.Context) error) error {
	if f.path == "" {
		return nil
	}
	wrong := func(ctx context.Context, err error) {
		f.log.ErrorContext(ctx, "the config file is wrong, the streams stay as they were", "err", err)
	}
	return f.file.watch(ctx, wrong, func(ctx context.Context, streams []Stream) error {
		f.log.InfoContext(ctx, "read the streams of the config file again; other keys need a restart", "streams", len(streams))
		return changed(ctx)
	})
}
