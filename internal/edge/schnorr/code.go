package schnorr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/btcutil/bech32"
	gonostr "github.com/nbd-wtf/go-nostr"
	"github.com/nbd-wtf/go-nostr/nip19"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxCode is how long a NIP-19 code may be (the NIP's own limit).
const maxCode = 5000

// codePrefixes are those of NIP-19 and, last, that of NIP-49.
var codePrefixes = []string{"npub", "nsec", "note", "nprofile", "nevent", "naddr", "ncryptsec"}

// code is what a NIP-19 code says. A field that it does not have is zero.
type code struct {
	key     string        // 64 hex digits of the public or secret key, of nevent and naddr that of the author
	id      string        // 64 hex digits
	address nostr.Address // of naddr; its kind is 0 where the code has none
	relays  []string      // as the code has them, not normalised
}

// CodePrefix returns the prefix of what looks like a NIP-19 code, in any case, or "".
func CodePrefix(s string) string { return codePrefix(BareCode(s)) }

func codePrefix(s string) string {
	prefix, _, ok := strings.Cut(strings.ToLower(s), "1")
	if !ok || !slices.Contains(codePrefixes, prefix) {
		return ""
	}
	return prefix
}

// parseCode reads a NIP-19 code, in lower or upper case, with or without what
// [BareCode] cuts off. Errors do not repeat it, since it may be a secret.
func parseCode(s string) (c code, err error) {
	s = BareCode(s)
	prefix := codePrefix(s)
	switch {
	case prefix == "":
		return c, errors.New("not a NIP-19 code such as npub1… or nevent1…")
	case prefix == "ncryptsec":
		return c, errors.New("ncryptsec: an encrypted secret key belongs nowhere but into its own application")
	case len(s) > maxCode:
		return c, fmt.Errorf("%s: %d characters, at most %d are accepted", prefix, len(s), maxCode)
	}
	if err := checkForm(s, prefix); err != nil {
		return c, err
	}
	_, value, err := nip19.Decode(s)
	switch v := value.(type) {
	case string:
		if prefix == "note" {
			return code{id: v}, nil
		}
		return code{key: v}, nil
	case gonostr.ProfilePointer:
		c = code{key: v.PublicKey, relays: v.Relays}
	case gonostr.EventPointer:
		c = code{id: v.ID, key: v.Author, relays: v.Relays}
	case gonostr.EntityPointer:
		c = code{key: v.PublicKey, relays: v.Relays, address: nostr.Address{Kind: v.Kind, PubKey: v.PublicKey, D: v.Identifier}}
	default:
		return c, fmt.Errorf("%s: %w", prefix, err)
	}
	if err := c.missing(prefix); err != nil || prefix != "naddr" {
		return c, err
	}
	c.address, err = nostr.ParseAddress(c.address.String())
	return c, err
}

// readAddress reads kind:pubkey:d, with the key as [ReadKey] takes it.
func readAddress(text string) (nostr.Address, error) {
	kind, rest, _ := strings.Cut(text, ":")
	pubkey, d, whole := strings.Cut(rest, ":")
	key, err := ReadKey(pubkey)
	if err != nil {
		return nostr.Address{}, fmt.Errorf("address: pubkey: %w", err)
	}
	if !whole {
		return nostr.ParseAddress(kind + ":" + key)
	}
	return nostr.ParseAddress(kind + ":" + key + ":" + d)
}

// missing says what a code lacks without which it names nothing. go-nostr's own error
// is not taken: it calls an naddr incomplete that has no d tag, as of a replaceable
// event. Only by that tag are kind 0 and no kind told apart.
func (c *code) missing(prefix string) error {
	switch {
	case prefix == "nevent" && c.id == "":
		return errors.New("nevent: no id")
	case prefix == "nprofile" && c.key == "":
		return errors.New("nprofile: no key")
	case prefix == "naddr" && (c.key == "" || c.address.Kind == 0 && c.address.D != ""):
		return errors.New("naddr: its author or kind is missing")
	}
	return nil
}

// checkForm refuses what go-nostr panics on, or reads as something else: a kind of
// fewer than four bytes, an entry that is cut off, where it stops reading, and a
// checksum of Bech32m, which is none of NIP-19.
func checkForm(s, prefix string) error {
	data, ok := decodeBytes(s, prefix)
	digits := strings.ToLower(s[len(prefix)+1:])
	odd := strings.IndexFunc(digits, func(r rune) bool { return !strings.ContainsRune("qpzry9x8gf2tvdw0s3jn54khce6mua7l", r) })
	switch {
	case strings.Contains(s, "..") || strings.ContainsRune(s, '…'):
		return fmt.Errorf("the %s is shortened, as for display: copy all of it", prefix)
	case odd >= 0:
		return fmt.Errorf("the %s has the character %q, which no code has", prefix, []rune(digits[odd:])[0])
	case !ok:
		return fmt.Errorf("the checksum of the %s is wrong: a character is missing or mistyped", prefix)
	case prefix != "npub" && prefix != "nsec" && prefix != "note":
		return checkEntries(data, prefix)
	case len(data) != 32:
		return fmt.Errorf("%s: has %d bytes, want 32", prefix, len(data))
	}
	return nil
}

// decodeBytes returns the bytes of a code; ok is false if the prefix is another, or
// if a character or the checksum is wrong.
func decodeBytes(s, prefix string) (data []byte, ok bool) {
	_, digits, err := bech32.DecodeNoLimit(s)
	if err != nil {
		return nil, false
	}
	if again, err := bech32.Encode(prefix, digits); err != nil || again != strings.ToLower(s) {
		return nil, false
	}
	data, err = bech32.ConvertBits(digits, 5, 8, false)
	return data, err == nil
}

// checkEntries checks the lengths in a code of entries: type, length, value.
func checkEntries(data []byte, prefix string) error {
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(data[1]) {
			return fmt.Errorf("%s: is cut off", prefix)
		}
		switch typ, size := data[0], int(data[1]); {
		case typ == nip19.TLVKind && size != 4:
			return fmt.Errorf("%s: its kind is cut off", prefix)
		case typ == nip19.TLVDefault && prefix != "naddr" && size != 32:
			return fmt.Errorf("%s: its id or key has %d bytes, want 32", prefix, size)
		case typ == nip19.TLVAuthor && prefix != "nprofile" && size != 32:
			return fmt.Errorf("%s: its author has %d bytes, want 32", prefix, size)
		}
		data = data[2+int(data[1]):]
	}
	return nil
}
