package schnorr

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/btcutil/bech32"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxCode is how long a NIP-19 code may be (the NIP's own limit).
const maxCode = 5000

// The fields of a NIP-19 code that is a list of type, length, value.
const (
	tlvSpecial = 0 // id of an event, or d tag of an address
	tlvRelay   = 1
	tlvAuthor  = 2
	tlvKind    = 3
)

// ParseNote reads what names an event: note1..., nevent1... or naddr1...
// (NIP-19), with or without nostr: in front (NIP-21), 64 hex digits, or the
// address kind:pubkey:d. Relays are as the code has them, not normalised.
func ParseNote(s string) (events.NoteMissing, error) {
	var n events.NoteMissing
	s = strings.TrimPrefix(strings.TrimSpace(s), "nostr:")
	if nostr.IsHex(strings.ToLower(s), 32) {
		n.EventID = strings.ToLower(s)
		return n, nil
	}
	if strings.Contains(s, ":") {
		a, err := nostr.ParseAddress(s)
		n.Address, n.AuthorPubkey = a.String(), a.PubKey
		return n, err
	}
	prefix, _, _ := strings.Cut(strings.ToLower(s), "1")
	if len(s) > maxCode || (prefix != "note" && prefix != "nevent" && prefix != "naddr") {
		return n, errors.New("want note1..., nevent1..., naddr1..., 64 hex digits or kind:pubkey:d")
	}
	_, bits, err := bech32.DecodeNoLimit(s)
	if err != nil {
		return n, fmt.Errorf("the checksum of the %s is wrong: a character is missing or mistyped", prefix)
	}
	raw, err := bech32.ConvertBits(bits, 5, 8, false)
	if err != nil {
		return n, fmt.Errorf("%s: %w", prefix, err)
	}
	if prefix == "note" {
		n.EventID, err = hex32("note", raw)
		return n, err
	}
	return pointer(prefix, raw)
}

// pointer reads the fields of an nevent or naddr; unknown ones are ignored.
func pointer(prefix string, raw []byte) (n events.NoteMissing, err error) {
	var special, author []byte
	kind := -1
	for len(raw) > 0 {
		if len(raw) < 2 || len(raw) < 2+int(raw[1]) {
			return n, fmt.Errorf("%s: cut off", prefix)
		}
		value := raw[2 : 2+int(raw[1])]
		switch raw[0] {
		case tlvSpecial:
			special = append([]byte{}, value...) // not nil: a d tag may be empty
		case tlvRelay:
			n.Relays = append(n.Relays, string(value))
		case tlvAuthor:
			author = value
		case tlvKind:
			if len(value) == 4 {
				kind = int(binary.BigEndian.Uint32(value))
			}
		}
		raw = raw[2+len(value):]
	}
	if author != nil {
		if n.AuthorPubkey, err = hex32(prefix+": author", author); err != nil {
			return n, err
		}
	}
	if prefix == "nevent" {
		n.EventID, err = hex32("nevent", special)
		return n, err
	}
	if special == nil || author == nil || kind < 0 {
		return n, errors.New("naddr: its d tag, author or kind is missing")
	}
	a, err := nostr.ParseAddress(nostr.Address{Kind: kind, PubKey: n.AuthorPubkey, D: string(special)}.String())
	n.Address = a.String()
	return n, err
}

func hex32(what string, raw []byte) (string, error) {
	if len(raw) != 32 {
		return "", fmt.Errorf("%s: holds %d bytes, want 32", what, len(raw))
	}
	return hex.EncodeToString(raw), nil
}
