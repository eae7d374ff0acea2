package schnorr

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// ReadFilter reads a filter that a person wrote: npub and nprofile stand for keys,
// note and nevent for ids, naddr for addresses (NIP-19, NIP-21), and hex may be in
// upper case. Every value is checked, since one that can match no event is a
// mistake; the error names its key and, if it is of another sort than is wanted
// there, where it belongs. A secret key is not repeated.
func ReadFilter(text string) (f nostr.Filter, err error) {
	text = strings.TrimFunc(text, nostr.Invisible)
	if !json.Valid([]byte(text)) {
		return f, errors.New(`invalid filter: it is not JSON, such as {"kinds":[1],"authors":["npub1…"]}: keys and text stand in double quotes`)
	}
	if err := f.UnmarshalJSON([]byte(text)); err != nil {
		return f, err
	}
	if key := twice(text); key != "" {
		return f, fmt.Errorf("filter: %s stands twice, and only one could count: put all values in one list", nostr.Clip(key))
	}
	var negative map[string]int64 // of a whole number below 0 some have become another one
	_ = json.Unmarshal([]byte(text), &negative)
	for _, key := range []string{"since", "until", "limit"} {
		if negative[key] < 0 {
			return f, fmt.Errorf("filter: %s: %d is negative", key, negative[key])
		}
	}
	if err := checkValues(&f); err != nil {
		return f, fmt.Errorf("filter: %w", err)
	}
	return f, nil
}

// twice returns a key that a JSON object has twice, or "".
func twice(object string) string {
	in, seen := json.NewDecoder(strings.NewReader(object)), map[string]bool{}
	if _, err := in.Token(); err != nil {
		return ""
	}
	for in.More() {
		key, err := in.Token()
		name, _ := key.(string)
		if err != nil || seen[name] {
			return name
		}
		seen[name] = true
		if err := in.Decode(new(json.RawMessage)); err != nil {
			return ""
		}
	}
	return ""
}

// checkValues checks every value, and puts hex in the place of codes.
func checkValues(f *nostr.Filter) error {
	for _, list := range []struct {
		key    string
		values []string
		sort   sort
	}{{"ids", f.IDs, sortID}, {"authors", f.Authors, sortKey}} {
		if err := readValues(list.key, list.values, list.sort); err != nil {
			return err
		}
	}
	for name, values := range f.Tags {
		if c := name[0]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return fmt.Errorf("#%s: want one letter, of those that relays have an index of", nostr.Clip(name))
		}
		if err := readValues("#"+name, values, tagSorts[strings.ToLower(name)]); err != nil {
			return err
		}
	}
	for _, kind := range f.Kinds {
		if err := nostr.CheckKind(kind); err != nil {
			return fmt.Errorf("kinds: %w", err)
		}
	}
	for key, at := range map[string]int64{"since": f.Since, "until": f.Until} {
		if err := nostr.CheckTimestamp(at); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return f.CheckPeriod()
}

// ReadKey reads a public key that a person wrote: 64 hex digits in any case, npub
// or nprofile. It returns lower-case hex; whether it is a point of the curve is not
// checked. A secret key is not repeated in the error.
func ReadKey(text string) (string, error) { return readValue(text, sortKey) }

// sort is what the values of a key are.
type sort int

const (
	sortText sort = iota
	sortKey
	sortID
	sortAddress
	sortReference // an id or an address
)

// tagSorts are the sorts of tags, in lower case, which all NIPs give them: p of
// NIP-01, also P of NIP-57, e and E of NIP-22, q of NIP-18.
var tagSorts = map[string]sort{"p": sortKey, "e": sortID, "a": sortAddress, "q": sortReference}

// readValues checks values of a sort, and puts hex in the place of codes.
func readValues(key string, values []string, of sort) error {
	for i, given := range values {
		value, err := readValue(given, of)
		if where := belongs[CodePrefix(given)]; err != nil && where != "" && !slices.Contains(wants[of].prefixes, CodePrefix(given)) {
			return fmt.Errorf("%s: %w; %s", key, err, where)
		} else if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		values[i] = value
	}
	return nil
}

func readValue(given string, of sort) (string, error) {
	prefix := CodePrefix(given)
	if prefix == "nsec" || prefix == "ncryptsec" {
		return "", errors.New("this is a secret key, which is wanted nowhere but in a file; it may stand in your shell's history now")
	}
	if of == sortText {
		return given, nil
	}
	if prefix == "" {
		return readPlain(given, of)
	}
	wanted := wants[of]
	if !slices.Contains(wanted.prefixes, prefix) {
		return "", fmt.Errorf("%q is %s: want %s", nostr.Clip(given), meanings[prefix], wanted.text)
	}
	c, err := parseCode(given)
	switch {
	case err != nil:
		return "", err
	case prefix == "naddr":
		return c.address.String(), nil
	case of == sortKey:
		return c.key, nil
	}
	return c.id, nil
}

// readPlain reads what is no code.
func readPlain(given string, of sort) (string, error) {
	value := BareCode(given)
	if hex := strings.ToLower(value); of != sortAddress && nostr.IsHex(hex, 32) {
		return hex, nil
	}
	if of == sortAddress || of == sortReference && strings.Contains(value, ":") {
		address, err := readAddress(value)
		if err == nil || strings.Count(value, ":") > 1 {
			return address.String(), err
		}
	}
	return "", fmt.Errorf("%q has %d characters: want %s", nostr.Clip(given), len([]rune(given)), wants[of].text)
}

// wants says what a sort is written as.
var wants = map[sort]struct {
	prefixes []string
	text     string
}{
	sortKey:       {[]string{"npub", "nprofile"}, "a public key: 64 hex digits, npub1… or nprofile1…"},
	sortID:        {[]string{"note", "nevent"}, "the id of an event: 64 hex digits, note1… or nevent1…"},
	sortAddress:   {[]string{"naddr"}, "an address: kind:pubkey:d or naddr1…"},
	sortReference: {[]string{"note", "nevent", "naddr"}, "an id or an address: 64 hex digits, note1…, nevent1…, kind:pubkey:d or naddr1…"},
}

var (
	meanings = map[string]string{
		"npub": "a public key", "nprofile": "a public key", "note": "the id of an event", "nevent": "the id of an event", "naddr": "an address",
	}
	belongs = map[string]string{
		"npub": "keys belong into authors or #p", "nprofile": "keys belong into authors or #p", "note": "ids belong into ids or #e",
		"nevent": "ids belong into ids or #e", "naddr": "addresses belong into #a, or are asked for by kinds, authors and #d",
	}
)
