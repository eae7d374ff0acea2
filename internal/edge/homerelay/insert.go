package homerelay

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Refusals, worded as the reason of an OK message.
var (
	errDuplicate = errors.New("duplicate: the event is stored already")
	errDeleted   = errors.New("blocked: its author deleted this event")
	errReplaced  = errors.New("replaced: a newer version is stored")
	errExpired   = errors.New("invalid: the event has expired")
	errVanished  = errors.New("blocked: its author, or who it is for, asked to vanish from this relay")
	errDenied    = errors.New("blocked: it is on a deny list of this relay")
	errStore     = errors.New("error: store") // no refusal: the event was not stored for this
)

// Has reports whether an event is stored; id is 64 lower-case hex digits.
func (s *store) Has(id string) (bool, error) {
	key, err := hex.DecodeString(id)
	if err != nil {
		return false, fmt.Errorf("invalid: id: %w", err)
	}
	known := false
	err = s.view(func(tx *bbolt.Tx) error {
		known = tx.Bucket(byID).Get(key) != nil
		return nil
	})
	return known, err
}

// Text returns the JSON of a stored event, or nil; id is 64 hex digits.
func (s *store) Text(id string) (text []byte, err error) {
	key, err := hex.DecodeString(id)
	if err != nil {
		return nil, err
	}
	err = s.view(func(tx *bbolt.Tx) error {
		if tx.Bucket(byID).Get(key) != nil {
			text, err = loadText(tx, key)
			text = bytes.Clone(text)
		}
		return err
	})
	return text, err
}

// Insert stores an event and returns once it is on disk, or returns one of the
// refusals above; the caller has verified id and signature. Concurrent calls
// share a transaction and its fsync.
func (s *store) Insert(e *nostr.Event) error {
	p, pages := party{own: true}, insertPages(e)
	leave, ok := s.turns.pass(s.ctx, p, pages)
	if !ok {
		return fmt.Errorf("%w: %w", errStore, s.ctx.Err())
	}
	defer leave()
	return s.insertFor(p, e, s.keepsFrom(p), leave)
}

// insertFor is Insert for a party that has come through the gate, with a width of
// insertPages, by a rule of what is kept. It calls leave before it waits for another
// turn.
func (s *store) insertFor(p party, e *nostr.Event, keeps rule, leave func()) error {
	r, err := newRecord(e)
	if err != nil {
		return err
	}
	if r.expires != 0 && r.expires <= s.now().Unix() {
		return errExpired
	}
	denied := s.denied.Now()
	if denied.Event(e) != "" {
		return errDenied
	}
	text := nostr.Encode(e)
	// An error returned from the function would undo the whole shared
	// transaction, so a refusal travels beside it. The function may run again.
	var refusal error
	left, err := s.updateStep(s.briefly(p, insertPages(e)), func(st *step) (err error) {
		// Behind all that a former list lets in, purgeDenied begins.
		if now := s.denied.Now(); now != denied && now.Event(e) != "" {
			refusal = errDenied
			return nil
		}
		if refusal, err = keeps(st, r, text); refusal == nil && err == nil {
			refusal, err = s.insert(st, r, text)
		}
		return err
	})
	leave()
	if err == nil {
		err = s.settle(p, left...)
	}
	if err == nil && refusal == nil && s.asksToVanish(e) {
		err = s.vanish(p, r.pubkey[:])
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return refusal
}

// insert returns a refusal, or the failure of the store.
func (s *store) insert(st *step, r *record, text []byte) (refusal, err error) {
	tx := st.tx
	if firstExpired(tx, s.now().Unix()) != nil {
		s.wake()
	}
	if tx.Bucket(byID).Get(r.id[:]) != nil {
		return errDuplicate, nil
	}
	if hasVanished(tx, r) {
		return errVanished, nil
	}
	gone := tx.Bucket(deleted)
	if !undeletable(r.event.Kind) && gone.Get(deletedEvent(r.id[:], r.pubkey[:])) != nil {
		return errDeleted, nil
	}
	if addr := r.address(); addr != nil {
		if at := gone.Get(deletedAddress(addr)); at != nil && int64(binary.BigEndian.Uint64(at)) >= r.pos.createdAt() {
			return errDeleted, nil
		}
		// Earlier versions passed over a tag d without a value, and may have left this of what is gone.
		if old := tx.Bucket(latest).Get(addr); old != nil && tx.Bucket(byID).Get(position(old).id()) != nil {
			if bytes.Compare(old, r.pos[:]) < 0 {
				return errReplaced, nil
			}
			previous, err := load(tx, position(old).id())
			if err != nil {
				return nil, err
			}
			if err := st.remove(previous); err != nil {
				return nil, err
			}
		}
		if err := tx.Bucket(latest).Put(addr, r.pos[:]); err != nil {
			return nil, err
		}
	}
	if err := st.put(r, text); err != nil {
		return nil, err
	}
	if s.asksToVanish(r.event) {
		return nil, markVanished(tx, r)
	}
	return nil, nil
}

// undeletable reports whether no deletion has an effect on events of a kind.
func undeletable(kind int) bool { return kind == nostr.KindDeletion || kind == nostr.KindVanish }

// deleteNamed removes what a tag of a kind 5 names and remembers it, so that it stays
// away (NIP-09). What is not the author's is left alone; neither a deletion nor a
// request to vanish can be deleted.
func (st *step) deleteNamed(r *record, tag nostr.Tag) error {
	var victim []byte
	var err error
	switch tag.At(0) {
	case "e":
		if id, bad := hex.DecodeString(tag.At(1)); bad == nil && len(id) == idSize {
			victim, err = id, st.deleteEvent(r, id)
		}
	case "a":
		if a, bad := nostr.ParseAddress(tag.At(1)); bad == nil && a.PubKey == r.event.PubKey {
			victim, err = st.deleteAddress(r, a)
		}
	}
	if err != nil || victim == nil || st.tx.Bucket(byID).Get(victim) == nil {
		return err
	}
	target, err := load(st.tx, victim)
	if err != nil || target.pubkey != r.pubkey || undeletable(target.event.Kind) {
		return err
	}
	return st.remove(target)
}

// deleteEvent remembers that the author of r deleted an event.
func (st *step) deleteEvent(r *record, id []byte) error {
	st.pages--
	at := binary.BigEndian.AppendUint64(nil, uint64(r.pos.createdAt()))
	return st.tx.Bucket(deleted).Put(deletedEvent(id, r.pubkey[:]), at)
}

// deleteAddress remembers that the author of r deleted an address of their own, and
// returns the id of the stored version if that is not newer.
func (st *step) deleteAddress(r *record, a nostr.Address) (id []byte, err error) {
	at := binary.BigEndian.AppendUint64(nil, uint64(r.pos.createdAt()))
	addr := addressKey(a.Kind, r.pubkey[:], a.D)
	st.pages--
	if old := st.tx.Bucket(deleted).Get(deletedAddress(addr)); old == nil || bytes.Compare(old, at) < 0 {
		if err := st.tx.Bucket(deleted).Put(deletedAddress(addr), at); err != nil {
			return nil, err
		}
	}
	stored := st.tx.Bucket(latest).Get(addr)
	if stored == nil || position(stored).createdAt() > r.pos.createdAt() {
		return nil, nil
	}
	return bytes.Clone(position(stored).id()), nil
}
