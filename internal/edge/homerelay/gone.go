package homerelay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/relaymesh/relaymesh/internal/trouble"
)

// lookEvery is how often [Relay.Guard] looks.
const lookEvery = 5 * time.Second

// errGone is the failure of a store whose file is not where it was: what is written to it no start finds. Strangers
// are told of it, so it does not say where that is.
var errGone = errors.New("the file of the store was removed, moved away or replaced while it was open")

// gone reports whether the file of the store is not where it was opened. Where that cannot be looked at, it is not.
func (s *store) gone() bool {
	was, err := s.file.Stat()
	if err != nil {
		return false
	}
	is, err := os.Stat(s.path)
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || err == nil && !os.SameFile(was, is)
}

// Guard looks after the file of the store until ctx ends, and once more then. If it is not where it was, nothing is stored any
// more, and Guard returns an error, since only a restart mends that. A file that was removed is first written again from what
// is still open of it; until that succeeds, Guard tells of it in the log. One that was moved away or replaced is left to
// whoever did it.
func (r *Relay) Guard(ctx context.Context) error {
	ill := trouble.Trouble{
		Log: r.log, Begins: "the embedded relay stores nothing: its file was removed, and cannot be written again", Ends: "the file is back",
	}
	look := time.NewTicker(r.lookEvery)
	defer look.Stop()
	for ends := false; ; {
		select {
		case <-look.C:
		case <-ctx.Done():
			ends = true // perhaps since NATS has lost its folder, too
		}
		var err error
		if r.store.gone() && r.store.damage.Load() == nil { // a transaction may be open for ever in one that is damaged
			var found string
			if found, err = r.store.writeAgain(); err == nil {
				return fmt.Errorf("home relay: %s: %w; %s", r.store.path, errGone, found)
			}
		}
		ill.Note(ctx, err, "path", r.store.path)
		if ends {
			return err
		}
	}
}

// writeAgain puts the file of a store back that was removed, and says what is to be found at its place.
func (s *store) writeAgain() (found string, err error) {
	tx, err := s.db.Begin(true) // after all that is being written; what comes then finds that the file is gone
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.guarded(tx.Rollback)) }()
	info, err := s.file.Stat()
	if err != nil {
		return "", err
	}
	if stat, is := info.Sys().(*syscall.Stat_t); is && stat.Nlink > 0 {
		return "it was moved: put it back, or the next start begins without it", nil
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return "", err
	}
	again := s.path + ".again"
	if err := s.copyTo(again, info.Size()); err != nil {
		return "", errors.Join(err, os.Remove(again))
	}
	err = os.Link(again, s.path) // not over another file
	if left := os.Remove(again); left != nil {
		return "", left
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return "another file is there, on which the next start begins", nil
	case err != nil:
		return "", err
	}
	return "it has been written again, with all that was stored", nil
}

func (s *store) copyTo(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(s.file, 0, size))
	return errors.Join(err, f.Sync(), f.Close())
}
