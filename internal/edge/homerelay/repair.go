package homerelay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Repaired is the outcome of [Repair].
type Repaired struct {
	Damage error  // the first that was found; nil is none, and then nothing was done
	Saved  int    // events in the new store
	Lost   int    // events that an index names and that could not be read
	Aside  string // where the damaged file is now
}

// Repair looks at the store in a file that no relay has open. If it is damaged,
// a new store is made of every event that can still be read and verified, and
// takes the place of the old one, which is set aside, not deleted. Events are
// looked for in all of the file, since a damaged page hides those below it;
// what removes others comes first, so that what authors deleted does not come back from
// pages that were free.
func Repair(ctx context.Context, path string) (Repaired, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return Repaired{}, fmt.Errorf("%s is in use: stop the relay first", path)
	case errors.Is(err, os.ErrNotExist):
		return Repaired{}, fmt.Errorf("there is no store: %w", err)
	case err == nil:
		defer db.Close()
	}
	var found Repaired
	damaged := checkStore(path)
	if damaged == nil {
		return found, nil
	}
	found.Damage = damaged.Err
	fresh := path + ".repaired"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return found, err
	}
	into, err := openStore(fresh)
	if err != nil {
		return found, err
	}
	err = into.salvage(ctx, path, &found)
	if err := errors.Join(err, into.Close()); err != nil {
		return found, err
	}
	found.Aside = fmt.Sprintf("%s.damaged-%s", path, time.Now().UTC().Format("20060102T150405"))
	return found, errors.Join(os.Rename(path, found.Aside), os.Rename(fresh, path))
}

// salvage stores what can be read of the file at path.
func (s *store) salvage(ctx context.Context, path string, found *Repaired) error {
	s.db.NoSync = true // one fsync at the end
	known, err := s.salvageIndexes(path)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, removals := range []bool{true, false} {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(maxGroup) // which share transactions
		wanted := func(e *nostr.Event) bool {
			return removals == (e.Kind == nostr.KindDeletion || e.Kind == nostr.KindVanish)
		}
		err := carve(ctx, f, wanted, func(e *nostr.Event) { group.Go(func() error { return s.restore(e) }) })
		if err := errors.Join(err, group.Wait()); err != nil {
			return err
		}
	}
	if err := s.db.Sync(); err != nil {
		return err
	}
	return s.view(func(tx *bbolt.Tx) error {
		found.Saved = tx.Bucket(byID).Stats().KeyN
		for id := range known {
			if tx.Bucket(byID).Get(id[:]) == nil {
				found.Lost++
			}
		}
		return nil
	})
}

// restore stores an event, unless the relay would refuse it.
func (s *store) restore(e *nostr.Event) error {
	if err := s.Insert(e); errors.Is(err, errStore) {
		return err
	}
	return nil
}

// markers are the buckets of what must stay away, which no stored event need
// tell any more.
var markers = [][]byte{deleted, vanished}

// salvageIndexes walks the pages that can be read, takes over the markers, and
// returns the ids of the events that were stored.
func (s *store) salvageIndexes(path string) (map[[idSize]byte]struct{}, error) {
	known := map[[idSize]byte]struct{}{}
	pages, err := openPages(path)
	if err != nil {
		return known, nil // the events can be read without
	}
	defer pages.file.Close()
	var bucket []byte
	gone := map[string]map[string][]byte{}
	for _, name := range markers {
		gone[string(name)] = map[string][]byte{}
	}
	pages.tree(pages.root, bounds{}, 0, func(e element) {
		switch {
		case e.bucket:
			bucket = e.key
		case bytes.Equal(bucket, byTime) && len(e.key) == posSize:
			known[[idSize]byte(position(e.key).id())] = struct{}{}
		case gone[string(bucket)] != nil:
			gone[string(bucket)][string(e.key)] = e.value
		}
	}, func(error) {})
	return known, s.update(func(tx *bbolt.Tx) error {
		for name, marked := range gone {
			for key, value := range marked {
				if err := tx.Bucket([]byte(name)).Put([]byte(key), value); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// carve calls yield with every wanted event in a file that verifies, each once,
// wherever it lies.
func carve(ctx context.Context, f *os.File, wanted func(*nostr.Event) bool, yield func(*nostr.Event)) error {
	begins := [][]byte{[]byte(`{"id":"`), []byte(`{"kind":`), []byte(packMark)} // see loadText
	seen := map[string]struct{}{}
	chunk := make([]byte, 1<<20)
	const overlap = 8
	for offset := int64(0); ; {
		n, err := f.ReadAt(chunk, offset)
		for _, begin := range begins {
			for at := 0; ; at++ {
				next := bytes.Index(chunk[at:n], begin)
				if next < 0 {
					break
				}
				at += next
				e := eventAt(f, offset+int64(at), begin)
				if e == nil || !wanted(e) {
					continue
				}
				if _, twice := seen[e.ID]; !twice && e.Check() == nil && schnorr.VerifySignature(e) == nil {
					seen[e.ID] = struct{}{}
					yield(e)
				}
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		offset += int64(n - overlap)
	}
}

// eventAt returns the event that begins at an offset, or nil; it is not
// checked.
func eventAt(f *os.File, offset int64, begin []byte) *nostr.Event {
	if string(begin) == packMark {
		return packedAt(f, offset)
	}
	var text json.RawMessage
	if json.NewDecoder(io.NewSectionReader(f, offset, 2*nostr.MaxEventBytes)).Decode(&text) != nil {
		return nil
	}
	e := &nostr.Event{}
	if e.UnmarshalJSON(text) != nil {
		return nil
	}
	return e
}
