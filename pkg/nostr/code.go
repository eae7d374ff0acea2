package nostr

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxCode is how long a NIP-19 code may be (the NIP's own limit).
const maxCode = 5000

// codePrefixes are those of NIP-19 and, last, that of NIP-49.
var codePrefixes = []string{"npub", "nsec", "note", "nprofile", "nevent", "naddr", "ncryptsec"}

// Code is what a NIP-19 code says. A field that it does not have is zero.
type Code struct {
	Prefix string // npub, nsec, note, nprofile, nevent or naddr
	Key    string // 64 hex digits of the public or secret key, of nevent and naddr that of the author
	ID     string // 64 hex digits
	// Address is that of naddr. Its kind is 0 where the code has none.
	Address Address
	Relays  []string // as the code has them, not normalised
}

// CodePrefix returns the prefix of what looks like a NIP-19 code, in any case, or "".
func CodePrefix(s string) string {
	prefix, _, ok := strings.Cut(strings.ToLower(BareCode(s)), "1")
	if !ok || !slices.Contains(codePrefixes, prefix) {
		return ""
	}
	return prefix
}

// BareCode cuts off what stands around a NIP-19 code where people copy it from:
// blanks and invisible characters, "nostr:" (NIP-21), an @, and the web page of a
// client whose address ends with it.
func BareCode(s string) string {
	s = strings.TrimFunc(s, invisible)
	scheme, rest, found := strings.Cut(s, ":")
	switch scheme = strings.ToLower(scheme); {
	case found && (scheme == "nostr" || scheme == "web+nostr"):
		return strings.TrimPrefix(rest, "//")
	case found && (scheme == "https" || scheme == "http"):
		for _, part := range strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune("/?#&=", r) }) {
			prefix, _, ok := strings.Cut(strings.ToLower(part), "1")
			if ok && slices.Contains(codePrefixes, prefix) {
				return part
			}
		}
	}
	return strings.TrimPrefix(s, "@")
}

// ParseCode reads a NIP-19 code, in lower or upper case, with or without what
// [BareCode] cuts off. Errors do not repeat it, since it may be a secret.
func ParseCode(s string) (c Code, err error) {
	s = BareCode(s)
	c.Prefix = CodePrefix(s)
	switch {
	case c.Prefix == "":
		return c, errors.New("not a NIP-19 code such as npub1… or nevent1…")
	case c.Prefix == "ncryptsec":
		return c, errors.New("ncryptsec: an encrypted secret key belongs nowhere but into its own application")
	case len(s) > maxCode:
		return c, fmt.Errorf("%s: %d characters, at most %d are accepted", c.Prefix, len(s), maxCode)
	}
	data, ok := decodeBech32(s, c.Prefix)
	if !ok {
		return c, fmt.Errorf("the checksum of the %s is wrong: a character is missing or mistyped", c.Prefix)
	}
	if c.Prefix == "npub" || c.Prefix == "nsec" || c.Prefix == "note" {
		if len(data) != 32 {
			return c, fmt.Errorf("%s: has %d bytes, want 32", c.Prefix, len(data))
		}
		err = c.set(0, data)
	} else {
		err = c.setAll(data)
	}
	if err == nil {
		err = c.missing()
	}
	return c, err
}

// setAll takes the fields of a code that has several: type, length, value.
func (c *Code) setAll(data []byte) error {
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(data[1]) {
			return fmt.Errorf("%s: is cut off", c.Prefix)
		}
		end := 2 + int(data[1])
		if err := c.set(data[0], data[2:end]); err != nil {
			return err
		}
		data = data[end:]
	}
	return nil
}

// set takes a field. Of several of one type the first counts, as of the code's own.
func (c *Code) set(typ byte, value []byte) error {
	var key *string
	switch {
	case typ == 0 && c.Prefix == "naddr":
		c.Address.D = string(value)
		return nil
	case typ == 0 && (c.Prefix == "note" || c.Prefix == "nevent"):
		key = &c.ID
	case typ == 0, typ == 2 && (c.Prefix == "nevent" || c.Prefix == "naddr"):
		key = &c.Key
	case typ == 1:
		c.Relays = append(c.Relays, string(value))
		return nil
	case typ == 3 && len(value) != 4:
		return fmt.Errorf("%s: its kind is cut off", c.Prefix)
	case typ == 3 && c.Prefix == "naddr":
		c.Address.Kind = int(binary.BigEndian.Uint32(value))
		return nil
	default:
		return nil // NIP-19: to be ignored
	}
	if len(value) != 32 {
		name := "author"
		if typ == 0 {
			name = "id or key"
		}
		return fmt.Errorf("%s: its %s has %d bytes, want 32", c.Prefix, name, len(value))
	}
	*key = hex.EncodeToString(value)
	return nil
}

// missing says what a code lacks without which it names nothing. An naddr of a
// replaceable event has no d tag; one of kind 0 and one without a kind are told
// apart by it.
func (c *Code) missing() error {
	switch {
	case c.Prefix == "nevent" && c.ID == "":
		return errors.New("nevent: no id")
	case c.Prefix == "nprofile" && c.Key == "":
		return errors.New("nprofile: no key")
	case c.Prefix == "naddr" && (c.Key == "" || c.Address.Kind == 0 && c.Address.D != ""):
		return errors.New("naddr: its author or kind is missing")
	}
	if c.Prefix == "naddr" {
		c.Address.PubKey = c.Key
	}
	return nil
}

// bech32Digits are the digits of BIP-173, in the order of their values.
const bech32Digits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// decodeBech32 decodes the bytes of a code with that prefix (BIP-173, without its
// bound on the length); ok is false if a character or the checksum is wrong.
func decodeBech32(code, prefix string) (data []byte, ok bool) {
	lower := strings.ToLower(code)
	if code != lower && code != strings.ToUpper(code) {
		return nil, false
	}
	check := uint32(1)
	for i := range len(prefix) {
		check = bech32Step(check, prefix[i]>>5)
	}
	check = bech32Step(check, 0)
	for i := range len(prefix) {
		check = bech32Step(check, prefix[i]&31)
	}
	digits := lower[len(prefix)+1:]
	if len(digits) < 6 {
		return nil, false
	}
	bits, count := uint32(0), 0
	for i := range len(digits) {
		value := strings.IndexByte(bech32Digits, digits[i])
		if value < 0 {
			return nil, false
		}
		check = bech32Step(check, byte(value))
		if i >= len(digits)-6 {
			continue // of the checksum
		}
		if bits, count = bits<<5|uint32(value), count+5; count >= 8 {
			count -= 8
			data = append(data, byte(bits>>count))
			bits &= 1<<count - 1
		}
	}
	return data, check == 1 && count < 5 && bits == 0
}

// bech32Step takes a digit into the checksum.
func bech32Step(check uint32, digit byte) uint32 {
	top := check >> 25
	check = check&0x1ffffff<<5 ^ uint32(digit)
	for i, of := range []uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
		if top>>i&1 == 1 {
			check ^= of
		}
	}
	return check
}
