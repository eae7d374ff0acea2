package nostr

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
)

// Bounds of a Nostr event that relaymesh handles. They are ours: NIP-01 sets
// none, and relays differ.
const (
	// MaxEventBytes bounds the JSON text of an event. Larger events exist
	// (follow lists of tens of thousands), but no relay of note accepts them.
	MaxEventBytes = 512 << 10
	// MaxTags bounds the number of tags of an event.
	MaxTags = 10_000
	// MaxFuture is how many seconds created_at may lie ahead of the clock;
	// strfry's default.
	MaxFuture = 900
)

// Event is a Nostr event (NIP-01), as it is on the wire. ID and PubKey are 64
// lower-case hex digits, Sig is 128, CreatedAt is Unix seconds. An Event from
// [ParseEvent] has the right shape and the right ID; its signature is not
// checked, which needs secp256k1 and so happens at the edge.
type Event struct {
	ID        string `json:"id"`
	PubKey    string `json:"pubkey"`
	CreatedAt int64  `json:"created_at"`
	Kind      int    `json:"kind"`
	Tags      []Tag  `json:"tags"`
	Content   string `json:"content"`
	Sig       string `json:"sig"`
}

// Tag is one tag of an event; it has at least one element, its name.
type Tag []string

// At returns the i-th element of the tag, or "" where the tag is shorter.
func (t Tag) At(i int) string {
	if i < len(t) {
		return t[i]
	}
	return ""
}

// Tag returns the first tag of that name, or nil.
func (e *Event) Tag(name string) Tag {
	for _, t := range e.Tags {
		if t.At(0) == name {
			return t
		}
	}
	return nil
}

// ErrEventTooLarge says that the text of an event has more than [MaxEventBytes].
var ErrEventTooLarge = fmt.Errorf("event: more than %d bytes, which are the most that is accepted", MaxEventBytes)

// ParseEvent decodes an event and checks everything that needs no key: JSON,
// the length and alphabet of each field, the bounds above, and that the id is
// the hash of the content (NIP-01). An error names the field at fault.
func ParseEvent(data []byte) (Event, error) {
	var e Event
	if len(data) > MaxEventBytes {
		return e, fmt.Errorf("event: %d bytes, at most %d are accepted", len(data), MaxEventBytes)
	}
	if err := e.UnmarshalJSON(data); err != nil {
		return e, fmt.Errorf("event: not a JSON event: %w", err)
	}
	return e, e.Check()
}

// Check says what is wrong with the shape of the event or its id, naming the
// field, or returns nil. It does not look at the signature or at the clock.
func (e *Event) Check() error {
	switch {
	case !IsHex(e.ID, 32):
		return errors.New("id: want 64 lower-case hex digits")
	case !IsHex(e.PubKey, 32):
		return errors.New("pubkey: want 64 lower-case hex digits")
	case !IsHex(e.Sig, 64):
		return errors.New("sig: want 128 lower-case hex digits")
	case e.CreatedAt < 0:
		return fmt.Errorf("created_at: %d is negative", e.CreatedAt)
	case e.Kind < 0 || e.Kind > 65535:
		return fmt.Errorf("kind: %d is not in 0..65535", e.Kind)
	case e.Tags == nil:
		return errors.New("tags: missing; an event without tags has an empty list")
	case len(e.Tags) > MaxTags:
		return fmt.Errorf("tags: %d, at most %d are accepted", len(e.Tags), MaxTags)
	case len(e.Content) > MaxEventBytes:
		return fmt.Errorf("content: %d bytes, at most %d are accepted", len(e.Content), MaxEventBytes)
	}
	for i, t := range e.Tags {
		if len(t) == 0 {
			return fmt.Errorf("tags[%d]: empty tag", i)
		}
	}
	if id := e.hash(); string(id[:]) != e.ID {
		return fmt.Errorf("id: is %s, but the event hashes to %s", e.ID, id[:])
	}
	return nil
}

// CheckTime refuses an event from the far future; now is Unix seconds.
func (e *Event) CheckTime(now int64) error {
	if e.CreatedAt > now+MaxFuture {
		return fmt.Errorf("created_at: %d is %d s ahead of the clock, at most %d are accepted", e.CreatedAt, e.CreatedAt-now, MaxFuture)
	}
	return nil
}

// Hash returns the id that the event ought to have: hex of the SHA-256 of its
// NIP-01 serialisation.
func (e *Event) Hash() string {
	id := e.hash()
	return string(id[:])
}

// hash is [Event.Hash] without garbage, which for each event that comes would be as
// much as the event.
func (e *Event) hash() (id [2 * sha256.Size]byte) {
	kept := buffers.Get().(*[]byte)
	b := e.appendHashed(slices.Grow((*kept)[:0], e.size()))
	sum := sha256.Sum256(b)
	hex.Encode(id[:], sum[:])
	if cap(b) <= maxBuffer {
		*kept = b
		buffers.Put(kept)
	}
	return id
}

// buffers are kept for [Event.hash], none longer than maxBuffer bytes: most events
// have fewer.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

const maxBuffer = 16 << 10

// appendHashed appends the NIP-01 serialisation of an event.
func (e *Event) appendHashed(b []byte) []byte {
	b = append(b, `[0,"`...)
	b = append(b, e.PubKey...)
	b = append(b, `",`...)
	b = strconv.AppendInt(b, e.CreatedAt, 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, int64(e.Kind), 10)
	b = append(b, ',')
	b = appendTags(b, e.Tags)
	b = append(b, ',')
	b = appendString(b, e.Content)
	return append(b, ']')
}

// IsHex reports whether s is exactly n bytes in lower-case hex.
func IsHex(s string, n int) bool {
	if len(s) != 2*n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Clip shortens untrusted text for an error message, to 80 bytes and … for the rest.
func Clip(s string) string {
	const limit = 80
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
