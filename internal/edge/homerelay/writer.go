package homerelay

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// DamagedError is the failure of a store in which something is not as it was
// written. Nothing has been changed.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the store %s is damaged: %v; stop the relay, and save what can be read with: relaymesh doctor --repair", e.Path, e.Err)
}

// Unwrap returns the damage.
func (e *DamagedError) Unwrap() error { return e.Err }

// storeReason is the reason of an OK, CLOSED or NEG-ERR when the store fails: no
// stranger needs to know where it lies.
func storeReason(err error) string {
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		return "error: the store is damaged"
	}
	return "error: store: " + err.Error()
}

// guarded calls do, of which a panic is damage: bbolt panics, or reads memory
// that is not there, where it meets pages that it did not write.
func (s *store) guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &DamagedError{s.path, fmt.Errorf("%v", p)}
		}
	}()
	return do()
}

// view is a read transaction; see [bbolt.DB.View].
func (s *store) view(do func(*bbolt.Tx) error) error {
	return s.guarded(func() error { return s.db.View(do) })
}

// write is a change that waits for its transaction.
type write struct {
	do   func(*bbolt.Tx) error
	done chan error
}

// maxGroup is how many changes share a transaction.
const maxGroup = 256

// update makes a change and returns when it is on disk. Changes that come
// together share a transaction and its fsync; do may then be called twice. bbolt's
// own Batch does this in goroutines whose panics end the process.
func (s *store) update(do func(*bbolt.Tx) error) error {
	w := write{do, make(chan error, 1)}
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return bolterrors.ErrDatabaseNotOpen
	}
	s.writes <- w
	return <-w.done
}

// writeAll takes changes until the store is closed.
func (s *store) writeAll() {
	defer close(s.written)
	for first := range s.writes {
		group := []write{first}
		for len(group) < maxGroup && len(s.writes) > 0 { // nobody else receives
			group = append(group, <-s.writes)
		}
		s.commitAll(group)
	}
}

// commitAll makes changes together, or one by one if that fails: one that fails
// spoils no other.
func (s *store) commitAll(group []write) {
	err := s.commit(group)
	for _, w := range group {
		if err != nil && len(group) > 1 {
			w.done <- s.commit([]write{w})
		} else {
			w.done <- err
		}
	}
}

// commit makes changes in one transaction, or none of them. Once a page is
// found damaged that a transaction depends on, or the file is away, none begins any more.
func (s *store) commit(group []write) error {
	if damage := s.damage.Load(); damage != nil {
		return damage
	}
	if s.gone() {
		return errGone
	}
	var tx *bbolt.Tx
	err := s.guarded(func() (err error) {
		if tx, err = s.db.Begin(true); err != nil {
			return err
		}
		for _, w := range group {
			if err := w.do(tx); err != nil {
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			s.refused.Store(&err)
			return err
		}
		s.refused.Store(nil)
		return nil
	})
	if err == nil || tx == nil || tx.DB() == nil { // a commit that fails has been undone
		return err
	}
	// To undo it bbolt reads all pages, in a goroutine.
	if damage := checkStore(s.path); damage != nil {
		s.damage.Store(damage)
		return damage
	}
	return errors.Join(err, s.guarded(tx.Rollback))
}

// probeBytes are what must fit on a disk that is held to take events again.
const probeBytes = 1 << 20

// takes says why the disk takes no events, nil if it does: it took the last ones, or takes as much as many of them since.
func (s *store) takes() error {
	refused := s.refused.Load()
	if refused == nil {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), ".probe-*")
	if err != nil {
		return *refused
	}
	_, err = f.Write(bytes.Repeat([]byte{1}, probeBytes))
	if errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name())) != nil {
		return *refused
	}
	s.refused.CompareAndSwap(refused, nil)
	return nil
}

// checkStore reads all of the tree in a file; nil is no damage.
func checkStore(path string) *DamagedError {
	p, err := openPages(path)
	if err == nil {
		err = errors.Join(p.check(), p.file.Close())
	}
	if err != nil {
		return &DamagedError{path, err}
	}
	return nil
}

// openBolt opens the file once it is known that bbolt can read it.
func openBolt(path string) (*bbolt.DB, *os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		// While another process writes, the file may look like anything.
		locked, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
		if errors.Is(err, bolterrors.ErrTimeout) {
			return nil, nil, err
		}
		damage := checkStore(path)
		if err == nil {
			err = locked.Close()
		}
		if damage != nil {
			return nil, nil, damage
		}
		if err != nil {
			return nil, nil, err
		}
	}
	var file *os.File
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:        lockTimeout,
		FreelistType:   bbolt.FreelistMapType,
		NoFreelistSync: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		},
	})
	return db, file, err
}
