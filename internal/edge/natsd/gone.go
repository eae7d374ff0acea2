package natsd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
)

// errGone is the end of a server whose files are not where they were: it writes on, to files that no start finds.
var errGone = errors.New("it was removed, moved away or replaced while NATS ran")

// places are the folders of a running server, as they were when it began.
type places struct {
	dir  string
	held []*os.File // open, or else another folder may get the inode of one that was removed

	mu      sync.Mutex
	streams []string // the files at the last look that each stream has one of
}

func openPlaces(dir string) (*places, error) {
	p := &places{dir: dir}
	for _, path := range []string{dir, filepath.Join(dir, "jetstream")} {
		f, err := os.Open(path)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.held = append(p.held, f)
	}
	return p, nil
}

// look says which folder is not where it was, of the server or of one of its streams.
func (p *places) look(nats *server.Server) error {
	for _, f := range p.held {
		was, err := f.Stat()
		if err != nil {
			return err
		}
		switch is, err := os.Stat(f.Name()); {
		case err == nil && os.SameFile(was, is):
		case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			return fmt.Errorf("folder %s: %w", f.Name(), errGone)
		default:
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	streams, err := filepath.Glob(filepath.Join(p.dir, "jetstream", "*", "streams", "*", "meta.inf"))
	if err != nil {
		return err
	}
	for _, path := range p.streams {
		if slices.Contains(streams, path) || !has(nats, path) {
			continue // NATS deletes a stream before its folder
		}
		if _, err := os.Stat(path); err != nil { // not made again meanwhile
			return fmt.Errorf("folder %s: %w", filepath.Dir(path), errGone)
		}
	}
	p.streams = streams
	return nil
}

// has reports whether the server has a stream, by where its configuration is.
func has(nats *server.Server, path string) bool {
	folder := filepath.Dir(path)
	account := filepath.Base(filepath.Dir(filepath.Dir(folder)))
	info, err := nats.JszAccount(&server.JSzOptions{Account: account, Streams: true})
	return err == nil && slices.ContainsFunc(info.Streams, func(s server.StreamDetail) bool { return s.Name == filepath.Base(folder) })
}

func (p *places) close() error {
	var errs []error
	for _, f := range p.held {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
