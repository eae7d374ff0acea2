package negentropy

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"math"
)

// ID is a 32-byte item id, for Nostr the event id. Ids are compared as byte strings.
type ID [32]byte

// ParseID reads an id from 64 hexadecimal digits, upper or lower case.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return ID{}, fmt.Errorf("negentropy: id has %d characters, want %d hexadecimal digits", len(s), 2*len(id))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("negentropy: id is not hexadecimal: %w", err)
	}
	return id, nil
}

// String returns the id as 64 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Item is one element of a set: for Nostr an event's created_at (seconds) and id.
// The timestamp 2^64-1 is reserved by the protocol and cannot be held by a set.
type Item struct {
	Timestamp uint64
	ID        ID
}

// Compare orders items by timestamp, then by id: the order in which the protocol cuts ranges.
// It returns a negative number, zero or a positive number.
func (a Item) Compare(b Item) int {
	if c := cmp.Compare(a.Timestamp, b.Timestamp); c != 0 {
		return c
	}
	return bytes.Compare(a.ID[:], b.ID[:])
}

// infinity is the reserved timestamp: the bound after every item.
const infinity = math.MaxUint64
