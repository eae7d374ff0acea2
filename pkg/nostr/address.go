package nostr

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Address names a replaceable or addressable event (NIP-01 "a" tag): the
// newest of that kind, author and d tag.
type Address struct {
	Kind   int
	PubKey string
	D      string
}

// MaxAddressBytes bounds an address that is looked for. Events may name longer ones.
const MaxAddressBytes = 1024

// ParseAddress reads kind:pubkey:d, of any length. Only replaceable kinds (0, 3, 10000 to
// 19999) and addressable ones (30000 to 39999) have addresses. The d of a
// replaceable kind is dropped, whatever is written, and its colon may be missing:
// its events have none.
func ParseAddress(s string) (Address, error) {
	number, rest, found := strings.Cut(s, ":")
	pubkey, d, whole := strings.Cut(rest, ":")
	kind, err := strconv.Atoi(number)
	switch known := err == nil && (Replaceable(kind) || Addressable(kind)); {
	case !found, known && Addressable(kind) && !whole:
		return Address{}, fmt.Errorf("address %q: want kind:pubkey:d", Clip(s))
	case !known:
		return Address{}, fmt.Errorf("address %q: kind is not replaceable or addressable", Clip(s))
	case !IsHex(pubkey, 32):
		return Address{}, fmt.Errorf("address %q: pubkey: want 64 lower-case hex digits", Clip(s))
	case Replaceable(kind):
		d = ""
	}
	return Address{Kind: kind, PubKey: pubkey, D: d}, nil
}

// AddressOf returns the address that an event is at; found is false for kinds
// that have none.
func AddressOf(e *Event) (a Address, found bool) {
	switch {
	case Addressable(e.Kind):
		return Address{Kind: e.Kind, PubKey: e.PubKey, D: e.Tag("d").At(1)}, true
	case Replaceable(e.Kind):
		return Address{Kind: e.Kind, PubKey: e.PubKey}, true
	}
	return Address{}, false
}

// String returns kind:pubkey:d.
func (a Address) String() string { return strconv.Itoa(a.Kind) + ":" + a.PubKey + ":" + a.D }

// Of reports whether an event is at the address: of its first d tag, whatever others
// it has, which match a filter too.
func (a Address) Of(e *Event) bool {
	at, found := AddressOf(e)
	return found && at == a
}

// Filter asks for the event at the address.
func (a Address) Filter() Filter {
	f := Filter{Kinds: []int{a.Kind}, Authors: []string{a.PubKey}, Limit: 1}
	if Addressable(a.Kind) {
		f.Tags = map[string][]string{"d": {a.D}}
	}
	return f
}

// Filters asks for up to so many versions of what is at the address. Where d is empty, the
// event need not have the tag, and #d does not find it at every relay: so the newest of the
// kind are asked for, too.
func (a Address) Filters(limit int) []Filter {
	f := a.Filter()
	f.Limit = limit
	if !Addressable(a.Kind) || a.D != "" {
		return []Filter{f}
	}
	const untagged = 100
	return []Filter{f, {Kinds: f.Kinds, Authors: f.Authors, Limit: untagged}}
}

// Replaceable reports whether a relay keeps only the newest event of that kind
// and author (NIP-01).
func Replaceable(kind int) bool {
	return kind == 0 || kind == 3 || (kind >= 10000 && kind < 20000)
}

// Addressable reports whether a relay keeps only the newest event of that
// kind, author and d tag (NIP-01).
func Addressable(kind int) bool { return kind >= 30000 && kind < 40000 }

// Ephemeral reports whether relays do not store events of that kind (NIP-01).
func Ephemeral(kind int) bool { return kind >= 20000 && kind < 30000 }

// private are messages of NIP-04, seals, messages of NIP-17 that somebody signed, and
// gift wraps, kept and ephemeral (NIP-59).
var private = []int{4, 13, 14, 15, 1059, 1060, 21059}

// Private reports whether events of that kind are for their parties alone: their
// author, and those whom a p tag names.
func Private(kind int) bool { return slices.Contains(private, kind) }
