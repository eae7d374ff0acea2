package homerelay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// entries calls do with every index entry of the record.
func entries(r *record, do func(bucket, key []byte) error) error {
	at := func(bucket, prefix []byte) error {
		return do(bucket, append(bytes.Clone(prefix), r.pos[:]...))
	}
	err := errors.Join(
		at(byTime, nil),
		at(byAuthor, authorPrefix(r.pubkey[:])),
		at(byKind, kindPrefix(r.event.Kind)),
	)
	for _, p := range r.tagPrefixes() {
		err = errors.Join(err, at(byTag, p))
	}
	return err
}

func put(tx *bbolt.Tx, r *record, text []byte) error {
	if r.expires != 0 {
		if err := tx.Bucket(expiring).Put(expiryKey(r.expires, r.id[:]), nil); err != nil {
			return err
		}
	}
	if err := tx.Bucket(byID).Put(r.id[:], text); err != nil {
		return err
	}
	return entries(r, func(bucket, key []byte) error { return tx.Bucket(bucket).Put(key, r.summary[:]) })
}

// remove takes an event out of everything but the deleted bucket.
func remove(tx *bbolt.Tx, r *record) error {
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
	if err := tx.Bucket(byID).Delete(r.id[:]); err != nil {
		return err
	}
	return entries(r, func(bucket, key []byte) error { return tx.Bucket(bucket).Delete(key) })
}

// load reads a stored event; one that an index names must be there.
func load(tx *bbolt.Tx, id []byte) (*record, error) {
	text := tx.Bucket(byID).Get(id)
	if text == nil {
		return nil, fmt.Errorf("event %x is in an index but not stored: the store is damaged", id)
	}
	e := &nostr.Event{}
	if err := e.UnmarshalJSON(text); err != nil {
		return nil, fmt.Errorf("event %x cannot be read: %w", id, err)
	}
	return newRecord(e)
}

// loadText reads the JSON of a stored event, as it is served. Earlier versions
// stored it with the kind first, and with some characters six bytes long.
func loadText(tx *bbolt.Tx, id []byte) ([]byte, error) {
	if text := tx.Bucket(byID).Get(id); bytes.HasPrefix(text, []byte(`{"id":`)) {
		return bytes.Clone(text), nil
	}
	r, err := load(tx, id)
	if err != nil {
		return nil, err
	}
	return nostr.Encode(r.event), nil
}

func expiryTime(key []byte) int64 { return int64(binary.BigEndian.Uint64(key)) }
