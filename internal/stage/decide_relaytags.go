package stage

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// ReadRelayTags reads the r tags of a relay list (NIP-65). A URL that is no relay address is passed over, as
// clients do, since real lists carry such. With an error, which says that the
// list has nothing else, or too much, comes one that is empty.
func ReadRelayTags(e *nostr.Event, allowPrivate bool) (*contract.List, error) {
	list := &contract.List{Version: e.CreatedAt, ID: e.ID}
	var count int
	var bad error
	for i, t := range e.Tags {
		if t[0] != "r" {
			continue
		}
		count++
		marker := marker(t)
		for _, raw := range relayURLs(t) {
			url, err := nostr.NormalizeRelayURL(raw, allowPrivate)
			if err != nil {
				bad = fmt.Errorf("tags[%d]: %w", i, err)
				continue
			}
			if marker != "read" {
				list.Write = AppendRelay(list.Write, url)
			}
			if marker != "write" {
				list.Read = AppendRelay(list.Read, url)
			}
		}
	}
	if count > nostr.MaxListTags {
		list.Write, list.Read = nil, nil
		return list, fmt.Errorf("tags: %d relays, at most %d are accepted", count, nostr.MaxListTags)
	}
	if len(list.Write)+len(list.Read) > 0 {
		bad = nil
	}
	return list, bad
}

// between is what people put between two URLs in one tag.
var between = regexp.MustCompile(`(?i)[\s\p{Z}\p{Cf},;|]+(wss?://)`)

// relayURLs returns the URLs of one r tag; some clients write down what was pasted
// into one field, or give several relays one tag.
func relayURLs(t nostr.Tag) (urls []string) {
	for i := range max(len(t)-1, 1) {
		if value := t.At(i + 1); i == 0 || strings.Contains(value, "://") {
			urls = append(urls, strings.Split(between.ReplaceAllString(value, "\n$1"), "\n")...)
		}
	}
	return urls
}

// marker returns the marker of an r tag, "read", "write" or "", as people write it: in
// any case, with blanks, or behind further URLs. A tag that has both has none.
func marker(t nostr.Tag) (only string) {
	for i := 2; i < len(t); i++ {
		switch text := strings.ToLower(strings.TrimFunc(t[i], func(r rune) bool { return !unicode.IsLetter(r) })); {
		case text != "read" && text != "write", text == only:
		case only != "":
			return ""
		default:
			only = text
		}
	}
	return only
}

// AppendRelay appends a normalised URL, unless the list has it or is full.
func AppendRelay(list []string, s string) []string {
	if len(list) >= nostr.MaxListRelays || nostr.HasRelay(list, s) {
		return list
	}
	return append(list, s)
}
