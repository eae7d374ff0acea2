package schnorr

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// ParseNote reads the name of an event: note1..., nevent1... or naddr1...
// (NIP-19), with or without what [BareCode] cuts off, 64 hex digits, or the
// address kind:pubkey:d. Relays are as the code has them, not normalised.
func ParseNote(s string) (n events.NoteMissing, err error) {
	s = BareCode(s)
	if id := strings.ToLower(s); nostr.IsHex(id, 32) {
		n.EventID = id
		return n, nil
	}
	prefix := codePrefix(s)
	switch prefix {
	case "note", "nevent", "naddr":
	case "npub", "nprofile":
		c, err := parseCode(s)
		if err != nil {
			return n, err
		}
		return n, fmt.Errorf("want note1..., nevent1... or naddr1...: an %s names a person and no event; 0:%s: is their profile", prefix, c.key)
	case "nsec", "ncryptsec":
		return n, errors.New("want note1..., nevent1... or naddr1...: " + secretGiven)
	default:
		if strings.Contains(s, ":") {
			a, err := readAddress(s)
			n.Address, n.AuthorPubkey = a.String(), a.PubKey
			return n, err
		}
		return n, fmt.Errorf("want note1..., nevent1..., naddr1..., 64 hex digits or kind:pubkey:d; this has %d characters",
			utf8.RuneCountInString(s))
	}
	c, err := parseCode(s)
	n = events.NoteMissing{EventID: c.id, AuthorPubkey: c.key, Relays: c.relays}
	if err == nil && prefix == "naddr" {
		n.Address = c.address.String()
	}
	return n, err
}

// secretGiven is said where a secret key is given in place of something public.
const secretGiven = "this is a secret key, which may stand in your shell's history now"

// ParseEventID reads the id of an event: note1... or nevent1... (NIP-19), or 64 hex
// digits.
func ParseEventID(s string) (string, error) {
	n, err := ParseNote(s)
	if err == nil && n.EventID == "" {
		err = errors.New("want note1..., nevent1... or 64 hex digits; an address names no event")
	}
	return n.EventID, err
}
