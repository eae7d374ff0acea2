package homerelay

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The buckets. A position is 40 bytes, inverted created_at and id, so that
// walking a bucket forwards meets the newest event first and, among equal
// times, the lowest id: the order of NIP-01.
var (
	byID      = []byte("e") // id → event, as JSON or packed
	byTime    = []byte("c") // position → summary
	byAuthor  = []byte("p") // pubkey, position → summary
	byKind    = []byte("k") // kind, position → summary
	byTag     = []byte("t") // letter, hash of value, position → summary
	latest    = []byte("r") // kind, pubkey, hash of d → position of the stored version
	deleted   = []byte("d") // what an author deleted → created_at of the deletion
	expiring  = []byte("x") // expiration, id → nothing
	vanished  = []byte("v") // pubkey → created_at of the last request to vanish, and 1 while events are left
	unsettled = []byte("u") // id → sequence number, and the JSON of an event that was removed; see settle
	newcomers = []byte("n") // pubkey → arrival
	brought   = []byte("b") // day, bringer, pubkey → nothing
	portions  = []byte("s") // bringer → bytes of the newcomers whom they brought

	buckets = [][]byte{byID, byTime, byAuthor, byKind, byTag, latest, deleted, expiring, vanished, unsettled, newcomers, brought, portions}
)

const (
	idSize     = 32
	posSize    = 8 + idSize
	prefixSize = 1 + 16 // of a tag
)

// position places an event in time order; see the buckets.
type position [posSize]byte

func newPosition(createdAt int64, id [idSize]byte) position {
	var p position
	binary.BigEndian.PutUint64(p[:], math.MaxUint64-uint64(createdAt))
	copy(p[8:], id[:])
	return p
}

// upTo is the first position of events that are not newer than t.
func upTo(t int64) position { return newPosition(t, [idSize]byte{}) }

func (p position) createdAt() int64 {
	return int64(math.MaxUint64 - binary.BigEndian.Uint64(p[:]))
}
func (p position) id() []byte { return p[8:] }

// summary is what an index entry says about its event, enough to decide most
// filters without reading it: kind (2 bytes) and expiration (8, 0 for never).
type summary [10]byte

func (s summary) kind() int         { return int(binary.BigEndian.Uint16(s[:])) }
func (s summary) expiration() int64 { return int64(binary.BigEndian.Uint64(s[2:])) }

// record is an event with its keys.
type record struct {
	event   *nostr.Event
	id      [idSize]byte
	pubkey  [32]byte
	pos     position
	summary summary
	expires int64 // 0 for never
}

// newRecord checks what the keys need: the shape of id, pubkey, kind and time.
func newRecord(e *nostr.Event) (*record, error) {
	r := &record{event: e}
	if !nostr.IsHex(e.ID, idSize) {
		return nil, errors.New("invalid: id is not 64 lower-case hex digits")
	}
	if !nostr.IsHex(e.PubKey, 32) {
		return nil, errors.New("invalid: pubkey is not 64 lower-case hex digits")
	}
	if _, err := hex.Decode(r.id[:], []byte(e.ID)); err != nil {
		return nil, fmt.Errorf("invalid: id: %w", err)
	}
	if _, err := hex.Decode(r.pubkey[:], []byte(e.PubKey)); err != nil {
		return nil, fmt.Errorf("invalid: pubkey: %w", err)
	}
	if e.CreatedAt < 0 {
		return nil, errors.New("invalid: created_at is negative")
	}
	if e.Kind < 0 || e.Kind > math.MaxUint16 {
		return nil, errors.New("invalid: kind is not in 0..65535")
	}
	r.pos = newPosition(e.CreatedAt, r.id)
	r.expires = expiration(e)
	binary.BigEndian.PutUint16(r.summary[:], uint16(e.Kind))
	binary.BigEndian.PutUint64(r.summary[2:], uint64(r.expires))
	return r, nil
}

// expiration returns when the event expires (NIP-40), in Unix seconds, or 0.
func expiration(e *nostr.Event) int64 {
	at, err := strconv.ParseInt(e.Tag("expiration").At(1), 10, 64)
	if err != nil {
		return 0
	}
	return max(1, at) // what expired before there was time has expired, too
}

// address returns the key under which only one version of the event is kept,
// or nil for an event that nothing replaces (NIP-01 kinds).
func (r *record) address() []byte {
	switch {
	case nostr.Replaceable(r.event.Kind):
		return addressKey(r.event.Kind, r.pubkey[:], "")
	case nostr.Addressable(r.event.Kind):
		return addressKey(r.event.Kind, r.pubkey[:], r.event.Tag("d").At(1))
	}
	return nil
}

func addressKey(kind int, pubkey []byte, d string) []byte {
	k := make([]byte, 0, 2+32+16)
	k = binary.BigEndian.AppendUint16(k, uint16(kind))
	k = append(k, pubkey...)
	return append(k, valueHash(d)...)
}

// tagPrefixes returns the index prefixes of the single-letter tags, each once, in
// their order, so that neighbours lie in the same pages.
func (r *record) tagPrefixes() [][prefixSize]byte {
	var prefixes [][prefixSize]byte
	for _, tag := range r.event.Tags {
		if len(tag) >= 2 && len(tag[0]) == 1 {
			prefixes = append(prefixes, [prefixSize]byte(tagPrefix(tag[0][0], tag[1])))
		}
	}
	slices.SortFunc(prefixes, func(a, b [prefixSize]byte) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(prefixes)
}

func tagPrefix(letter byte, value string) []byte {
	return append([]byte{letter}, valueHash(value)...)
}

func authorPrefix(pubkey []byte) []byte { return pubkey }

func kindPrefix(kind int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(kind)) }

// valueHash makes tag values of any length into 16 bytes; a collision costs a
// look at the event, never a wrong answer.
func valueHash(v string) []byte {
	sum := sha256.Sum256([]byte(v))
	return sum[:16]
}

// deletedEvent and deletedAddress are keys of the deleted bucket. The author
// is part of both, so that one author's deletion cannot touch another's event.
func deletedEvent(id, pubkey []byte) []byte {
	return bytes.Join([][]byte{{'e'}, id, pubkey}, nil)
}

func deletedAddress(address []byte) []byte { return append([]byte{'a'}, address...) }

func expiryKey(at int64, id []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(at)), id...)
}

func asSummary(v []byte) (summary, error) {
	if len(v) != len(summary{}) {
		return summary{}, fmt.Errorf("index entry of %d bytes: the store is damaged", len(v))
	}
	return summary(v), nil
}
