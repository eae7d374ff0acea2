package homerelay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// An event of ten thousand tags is stored and removed in steps, since others wait for
// each. The first stores or removes it under its id, time, author and kind; those of
// its tags that do not fit are left, and the event is marked as unsettled. So a query
// by tag may meet entries of a removed event, and not yet all of one that is being
// stored: its OK comes when it is settled. The events that a deletion names go likewise.

// errRemoved is for an entry of a removed event that is not settled.
var errRemoved = errors.New("the event has been removed")

// leave marks an event as unsettled, with its text if it is removed. Each mark has a
// number of its own: who is at work on the one before begins again.
func (st *step) leave(id [idSize]byte, text []byte) error {
	b := st.tx.Bucket(unsettled)
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	st.pages -= 1 + len(text)>>pageBits
	st.left = append(st.left, id)
	return b.Put(id[:], append(binary.BigEndian.AppendUint64(nil, n), text...))
}

// work is what is to be done about the tags of an event, and how far it has come.
type work struct {
	record   *record
	prefixes [][prefixSize]byte
	stored   bool // else the event is removed
	mark     uint64
	next     int // of prefixes, and then of the tags of a deletion
	over     bool
}

func (st *step) newWork(r *record, stored bool) *work {
	w := &work{record: r, stored: stored}
	if st.whole == nil || !slices.Contains(st.whole.lists, r.event.Kind) {
		w.prefixes = r.tagPrefixes()
	}
	return w
}

// do goes on as far as the step allows.
func (w *work) do(st *step) error {
	r, bucket := w.record, st.tx.Bucket(byTag)
	for ; w.next < len(w.prefixes) && st.pages > 0; w.next++ {
		st.pages--
		key := append(w.prefixes[w.next][:], r.pos[:]...)
		var err error
		if w.stored {
			err = bucket.Put(key, r.summary[:])
		} else {
			err = bucket.Delete(key)
		}
		if err != nil {
			return err
		}
	}
	end := len(w.prefixes)
	if w.stored && r.event.Kind == nostr.KindDeletion {
		end += len(r.event.Tags)
	}
	for ; w.next < end && st.pages > 0; w.next++ {
		if err := st.deleteNamed(r, r.event.Tags[w.next-len(w.prefixes)]); err != nil {
			return err
		}
	}
	w.over = w.next >= end
	return nil
}

// settle does what steps have left of events, in turns of the party. The store's
// closing or a crash leaves the rest to the next start.
func (s *store) settle(p party, ids ...[idSize]byte) error {
	for len(ids) > 0 {
		more, err := s.settleOne(p, ids[len(ids)-1])
		if err != nil {
			return err
		}
		ids = append(ids[:len(ids)-1], more...)
	}
	return nil
}

func (s *store) settleOne(p party, id [idSize]byte) (left [][idSize]byte, err error) {
	done := &work{} // on disk
	for !done.over {
		var doing work
		more, err := s.step(s.ctx, p, func(st *step) error {
			doing = *done
			return doing.resume(st, id)
		})
		if err != nil {
			return nil, err
		}
		*done = doing
		left = append(left, more...)
	}
	return left, nil
}

// resume goes on with an event, or begins again if it has been stored or removed since.
func (w *work) resume(st *step, id [idSize]byte) error {
	b := st.tx.Bucket(unsettled)
	mark := b.Get(id[:])
	if mark == nil { // somebody else has done it
		w.over = true
		return nil
	}
	if len(mark) < 8 {
		return fmt.Errorf("a mark of %d bytes: the store is damaged", len(mark))
	}
	if number := binary.BigEndian.Uint64(mark); w.record == nil || number != w.mark {
		text := st.tx.Bucket(byID).Get(id[:])
		stored := text != nil
		if !stored {
			text = mark[8:]
		}
		r, err := parseRecord(id[:], text)
		if err != nil {
			return err
		}
		*w = *st.newWork(r, stored)
		w.mark = number
	}
	if err := w.do(st); err != nil || !w.over {
		return err
	}
	return b.Delete(id[:])
}

// tidy settles the events that a crash has left, and again when it is woken: it removes
// events that have expired, in turns of its own.
func (s *store) tidy(crashed [][idSize]byte) {
	s.settleEach(crashed)
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.untidy:
			s.purge()
			if ids, err := s.marked(); err == nil {
				s.settleEach(ids)
			}
		}
	}
}

// wake has the store tidied, soon.
func (s *store) wake() {
	select {
	case s.untidy <- struct{}{}:
	default:
	}
}

// marked lists the events that are to be settled: those of a crash, and those that
// somebody is storing or removing now.
func (s *store) marked() (ids [][idSize]byte, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(unsettled).ForEach(func(id, _ []byte) error {
			if len(id) == idSize {
				ids = append(ids, [idSize]byte(id))
			}
			return nil
		})
	})
	return ids, err
}

// settleEach settles events; one that cannot be is left.
func (s *store) settleEach(ids [][idSize]byte) {
	for _, id := range ids {
		if s.ctx.Err() != nil {
			return
		}
		_ = s.settle(party{}, id)
	}
}

// purge removes the events that have expired, so that the file does not keep them
// for ever; queries leave them out anyway.
func (s *store) purge() {
	for more := true; more; {
		left, err := s.step(s.ctx, party{}, func(st *step) error {
			for more = true; st.pages > 0; {
				key := firstExpired(st.tx, s.now().Unix())
				if more = key != nil; !more {
					return nil
				}
				if err := st.expire(key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || s.settle(party{}, left...) != nil {
			return
		}
	}
}

// expire removes an event by its key in the bucket of those that expire. The key goes in any case: earlier versions passed
// over a tag without a value.
func (st *step) expire(key []byte) error {
	st.pages--
	if err := st.tx.Bucket(expiring).Delete(key); err != nil || st.tx.Bucket(byID).Get(key[8:]) == nil {
		return err
	}
	r, err := load(st.tx, key[8:])
	if err != nil {
		return err
	}
	return st.remove(r)
}

// firstExpired returns the key of the event that expired first, or nil.
func firstExpired(tx *bbolt.Tx, now int64) []byte {
	k, _ := tx.Bucket(expiring).Cursor().First()
	if k == nil || expiryTime(k) > now {
		return nil
	}
	return bytes.Clone(k)
}
