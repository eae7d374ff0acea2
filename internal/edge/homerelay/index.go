package homerelay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// entries calls do with every index entry of the record, but for those of its tags.
func entries(r *record, do func(bucket, key []byte) error) error {
	at := func(bucket, prefix []byte) error {
		return do(bucket, append(bytes.Clone(prefix), r.pos[:]...))
	}
	return errors.Join(
		at(byTime, nil),
		at(byAuthor, authorPrefix(r.pubkey[:])),
		at(byKind, kindPrefix(r.event.Kind)),
	)
}

// form returns an event as it is stored, by its JSON.
func (st *step) form(r *record, text []byte) []byte {
	if st.whole == nil {
		return text
	}
	return pack(r, text)
}

// put stores an event.
func (st *step) put(r *record, text []byte) error {
	tx := st.tx
	text = st.form(r, text)
	st.pages -= eventPages + len(text)>>pageBits
	st.whole.stored(tx, r)
	if err := st.charge(r.pubkey[:], int64(len(text)+eventCost)); err != nil {
		return err
	}
	if r.expires != 0 {
		if err := tx.Bucket(expiring).Put(expiryKey(r.expires, r.id[:]), nil); err != nil {
			return err
		}
	}
	if err := tx.Bucket(byID).Put(r.id[:], text); err != nil {
		return err
	}
	err := entries(r, func(bucket, key []byte) error { return tx.Bucket(bucket).Put(key, r.summary[:]) })
	w := st.newWork(r, true)
	if err == nil {
		err = w.do(st)
	}
	if err != nil || w.over && tx.Bucket(unsettled).Get(r.id[:]) == nil {
		return err
	}
	return st.leave(r.id, nil)
}

// remove takes an event out of everything but the deleted bucket.
func (st *step) remove(r *record) error {
	tx := st.tx
	st.pages -= eventPages
	st.whole.removed(tx, r)
	if r.expires != 0 {
		if err := tx.Bucket(expiring).Delete(expiryKey(r.expires, r.id[:])); err != nil {
			return err
		}
	}
	if addr := r.address(); addr != nil {
		if err := tx.Bucket(latest).Delete(addr); err != nil {
			return err
		}
	}
	if err := st.charge(r.pubkey[:], -int64(len(tx.Bucket(byID).Get(r.id[:]))+eventCost)); err != nil {
		return err
	}
	if err := tx.Bucket(byID).Delete(r.id[:]); err != nil {
		return err
	}
	if err := entries(r, func(bucket, key []byte) error { return tx.Bucket(bucket).Delete(key) }); err != nil {
		return err
	}
	w := st.newWork(r, false)
	st.pages = max(st.pages, smallTags)
	if len(w.prefixes) > st.pages || tx.Bucket(unsettled).Get(r.id[:]) != nil {
		return st.leave(r.id, nostr.Encode(r.event))
	}
	return w.do(st)
}

// load reads a stored event; one that an index names must be there, or errRemoved.
func load(tx *bbolt.Tx, id []byte) (*record, error) {
	text := tx.Bucket(byID).Get(id)
	switch {
	case text != nil:
		return parseRecord(id, text)
	case tx.Bucket(unsettled).Get(id) != nil:
		return nil, errRemoved
	}
	return nil, fmt.Errorf("event %x is in an index but not stored: the store is damaged", id)
}

// parseRecord reads an event in either form.
func parseRecord(id, stored []byte) (*record, error) {
	e := &nostr.Event{}
	text, err := unpack(id, stored)
	if err == nil {
		err = e.UnmarshalJSON(text)
	}
	if err != nil {
		return nil, fmt.Errorf("event %x cannot be read: %w", id, err)
	}
	return newRecord(e)
}

// loadText reads the JSON of a stored event, as it is served, which may not be kept
// beyond the transaction. Earlier versions stored it with the kind first, and with
// some characters six bytes long.
func loadText(tx *bbolt.Tx, id []byte) ([]byte, error) {
	if text, err := unpack(id, tx.Bucket(byID).Get(id)); err == nil && bytes.HasPrefix(text, []byte(`{"id":`)) {
		return text, nil
	}
	r, err := load(tx, id)
	if err != nil {
		return nil, err
	}
	return nostr.Encode(r.event), nil
}

func expiryTime(key []byte) int64 { return int64(binary.BigEndian.Uint64(key)) }
