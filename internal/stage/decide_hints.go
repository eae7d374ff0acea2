package stage

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// maxHints bounds the relays that one event makes known.
	maxHints = 20
	// kindFollows is a follow list (NIP-02).
	kindFollows = 3
)

// nostrCode is a code of NIP-19 that may name relays, as NIP-21 has it in contents.
var nostrCode = regexp.MustCompile(`(?i)\bnostr:(nprofile1|nevent1|naddr1)([` + codeAlphabet + `]{8,1000})\b`)

// Hints returns the relays that an event names by the way: in its e, p, a and q tags, in
// codes of its content (NIP-21), and as kind 3 once did, in an object by URL. Anybody may
// name any relay; a URL that is none, or that may not be dialled, is left out.
func Hints(e *nostr.Event, allowPrivate bool) (urls []string) {
	add := func(raw string) {
		if len(urls) < maxHints && strings.HasPrefix(raw, "ws") {
			if url, err := nostr.NormalizeRelayURL(raw, allowPrivate); err == nil && !nostr.HasRelay(urls, url) {
				urls = append(urls, url)
			}
		}
	}
	for _, t := range e.Tags {
		if name := t.At(0); name == "e" || name == "p" || name == "a" || name == "q" {
			add(t.At(2))
		}
	}
	if e.Kind == kindFollows {
		byURL, _ := nostr.Decode[map[string]any]([]byte(e.Content)) // most are empty today
		for _, url := range slices.Sorted(maps.Keys(byURL)) {
			add(url)
		}
		return urls
	}
	if !strings.Contains(e.Content, "nostr:") {
		return urls
	}
	for _, code := range nostrCode.FindAllStringSubmatch(e.Content, 4*maxHints) {
		for _, url := range codeRelays(strings.ToLower(code[1] + code[2])) {
			add(url)
		}
	}
	return urls
}

// codeAlphabet are the digits of Bech32, by value.
const codeAlphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// codeRelays returns the relays in a code of NIP-19, in lower case, whose checksum holds:
// its entries of type 1.
func codeRelays(code string) (urls []string) {
	human, digits, _ := strings.Cut(code, "1")
	if len(digits) < 6 || !checksumHolds(human, digits) {
		return nil
	}
	var data []byte
	bits, held := 0, 0
	for _, c := range digits[:len(digits)-6] {
		held = held<<5 | strings.IndexRune(codeAlphabet, c)
		if bits += 5; bits >= 8 {
			bits -= 8
			data = append(data, byte(held>>bits))
			held &= 1<<bits - 1
		}
	}
	for len(data) >= 2 && len(data) >= 2+int(data[1]) {
		if data[0] == 1 {
			urls = append(urls, string(data[2:2+data[1]]))
		}
		data = data[2+int(data[1]):]
	}
	return urls
}

// checksumHolds checks a code by BIP-173.
func checksumHolds(human, digits string) bool {
	sum := uint32(1)
	take := func(v byte) {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(v)
		for i, g := range [...]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	for i := range len(human) {
		take(human[i] >> 5)
	}
	take(0)
	for i := range len(human) {
		take(human[i] & 31)
	}
	for i := range len(digits) {
		v := strings.IndexByte(codeAlphabet, digits[i])
		if v < 0 {
			return false
		}
		take(byte(v)) //nolint:gosec // below 32
	}
	return sum == 1
}
