package schnorr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	gonostr "github.com/nbd-wtf/go-nostr"
	"github.com/nbd-wtf/go-nostr/nip19"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxCode is how long a NIP-19 code may be (the NIP's own limit).
const maxCode = 5000

// ParseNote reads the name of an event: note1..., nevent1... or naddr1...
// (NIP-19), with or without nostr: in front (NIP-21), 64 hex digits, or the
// address kind:pubkey:d. Relays are as the code has them, not normalised.
func ParseNote(s string) (events.NoteMissing, error) {
	var n events.NoteMissing
	s = strings.TrimSpace(s)
	if scheme, rest, ok := strings.Cut(s, ":"); ok && strings.EqualFold(scheme, "nostr") {
		s = rest
	}
	if id := strings.ToLower(s); nostr.IsHex(id, 32) {
		n.EventID = id
		return n, nil
	}
	if strings.Contains(s, ":") {
		a, err := nostr.ParseAddress(s)
		n.Address, n.AuthorPubkey = a.String(), a.PubKey
		return n, err
	}
	value, err := decodeCode(s, "note", "nevent", "naddr")
	if p, ok := value.(gonostr.EntityPointer); ok {
		return ofAddress(p)
	}
	if err != nil {
		return n, err
	}
	if p, ok := value.(gonostr.EventPointer); ok {
		n.EventID, n.AuthorPubkey, n.Relays = p.ID, p.Author, p.Relays
		return n, nil
	}
	n.EventID, _ = value.(string)
	return n, nil
}

// ofAddress reads an naddr. go-nostr calls those incomplete that have no d tag,
// as of replaceable events, and knows none of kind 0 from one without a kind.
func ofAddress(p gonostr.EntityPointer) (n events.NoteMissing, err error) {
	if p.PublicKey == "" || p.Kind == 0 && p.Identifier != "" {
		return n, errors.New("naddr: its author or kind is missing")
	}
	a, err := nostr.ParseAddress(nostr.Address{Kind: p.Kind, PubKey: p.PublicKey, D: p.Identifier}.String())
	n.Address, n.AuthorPubkey, n.Relays = a.String(), a.PubKey, p.Relays
	return n, err
}

// decodeCode decodes a NIP-19 code of one of some prefixes. Errors do not have the
// code in them, as it may be a secret. A value may come with an error.
func decodeCode(code string, prefixes ...string) (value any, err error) {
	prefix, _, _ := strings.Cut(strings.ToLower(code), "1")
	if len(code) > maxCode || !slices.Contains(prefixes, prefix) {
		return nil, fmt.Errorf("want %s..., 64 hex digits or kind:pubkey:d", strings.Join(prefixes, "1..., ")+"1")
	}
	defer func() {
		if recover() != nil { // go-nostr reads four bytes of kind, whatever there is
			err = fmt.Errorf("%s: its kind is cut off", prefix)
		}
	}()
	decoded, value, err := nip19.Decode(code)
	switch {
	case err != nil && decoded == "":
		err = fmt.Errorf("the checksum of the %s is wrong: a character is missing or mistyped", prefix)
	case err != nil:
		err = fmt.Errorf("%s: %w", prefix, err)
	}
	return value, err
}
