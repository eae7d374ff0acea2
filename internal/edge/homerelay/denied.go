package homerelay

import (
	"bytes"
	"context"
	"fmt"

	"go.etcd.io/bbolt"
)

// purgeStep is how many events [Relay.Purge] looks at in one transaction.
const purgeStep = 1000

// Purge deletes the stored events that are denied now. It reads the whole store,
// in steps between which others write.
func (r *Relay) Purge(ctx context.Context) error {
	n, err := r.store.purgeDenied(ctx)
	if n > 0 {
		r.log.InfoContext(ctx, "home relay deleted denied events", "events", n)
	}
	if err != nil {
		return fmt.Errorf("home relay: delete denied events: %w", err)
	}
	return nil
}

func (s *store) purgeDenied(ctx context.Context) (n int, err error) {
	if s.denied.Now().Empty() {
		return 0, nil
	}
	// What was let in by the list before is in the store after this.
	if err := s.update(func(*bbolt.Tx) error { return nil }); err != nil {
		return 0, err
	}
	for from := []byte(nil); ; {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		ids, next, err := s.deniedFrom(from)
		if err == nil {
			err = s.removeAll(ctx, ids)
		}
		if err != nil {
			return n, err
		}
		if n += len(ids); next == nil {
			return n, nil
		}
		from = next
	}
}

// deniedFrom returns the denied events of a step that begins at an id, and where
// the next one begins; nil is the end.
func (s *store) deniedFrom(from []byte) (ids [][]byte, next []byte, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(byID).Cursor()
		k, text := c.Seek(from)
		for step := 0; k != nil && step < purgeStep; step++ {
			// One that cannot be read is served to nobody, and no reason to stop.
			if r, err := parseRecord(k, text); err == nil && s.denied.Event(r.event) {
				ids = append(ids, bytes.Clone(k))
			}
			k, text = c.Next()
		}
		next = bytes.Clone(k)
		return nil
	})
	return ids, next, err
}

// removeAll deletes events, those of them that are still there.
func (s *store) removeAll(ctx context.Context, ids [][]byte) error {
	for len(ids) > 0 {
		var rest [][]byte
		left, err := s.step(ctx, party{}, func(st *step) error {
			for rest = ids; len(rest) > 0 && st.pages > 0; rest = rest[1:] {
				if st.tx.Bucket(byID).Get(rest[0]) == nil {
					continue
				}
				r, err := load(st.tx, rest[0])
				if err == nil {
					err = st.remove(r)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			err = s.settle(party{}, left...)
		}
		if err != nil {
			return err
		}
		ids = rest
	}
	return nil
}
