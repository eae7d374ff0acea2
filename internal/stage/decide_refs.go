package stage

import (
	"slices"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxRefs bounds the references of one event that are followed: more is a list
// of links, not a conversation.
const maxRefs = 50

// referring are the kinds whose references are part of what a reader sees:
// notes, reposts, comments, media notes, articles, highlights, and the note
// kind of HORNETS. The e tags of the others (deletions, reactions, lists) are
// not worth a search over the network.
var referring = []int{1, 6, 16, 20, 21, 22, 1111, 1808, 9802, 30023}

// References returns the events that a note refers to: e tags with NIP-10
// markers or by position, q tags, and a tags by address, in the order of the
// tags. Other kinds than notes refer to nothing.
func References(e *nostr.Event, allowPrivate bool) []events.NoteMissing {
	if !slices.Contains(referring, e.Kind) {
		return nil
	}
	var refs []events.NoteMissing
	var seen map[string]bool
	for _, t := range e.Tags {
		ref, ok := reference(e, t)
		if !ok || ref.EventID == e.ID || seen[ref.Key()] {
			continue
		}
		if seen == nil {
			seen = map[string]bool{}
		}
		seen[ref.Key()] = true
		if hint := t.At(2); hint != "" {
			if url, err := nostr.NormalizeRelayURL(hint, allowPrivate); err == nil {
				ref.Relays = []string{url}
			}
		}
		ref.ReferencedBy = e.ID
		if refs = append(refs, ref); len(refs) == maxRefs {
			break
		}
	}
	return refs
}

func reference(e *nostr.Event, t nostr.Tag) (events.NoteMissing, bool) {
	switch value := t.At(1); t[0] {
	case "e":
		// NIP-10 puts the author behind the marker, older clients in place of
		// it; the only p tag of a reply is the author replied to.
		author := t.At(4)
		if !nostr.IsHex(author, 32) {
			author = t.At(3)
		}
		if !nostr.IsHex(author, 32) {
			author = onlyTag(e, "p")
		}
		return byID(value, author)
	case "q":
		if strings.Contains(value, ":") {
			return byAddress(value)
		}
		return byID(value, t.At(3))
	case "a":
		return byAddress(value)
	}
	return events.NoteMissing{}, false
}

func byID(id, author string) (events.NoteMissing, bool) {
	if !nostr.IsHex(author, 32) {
		author = ""
	}
	return events.NoteMissing{EventID: id, AuthorPubkey: author}, nostr.IsHex(id, 32)
}

func byAddress(address string) (events.NoteMissing, bool) {
	a, err := nostr.ParseAddress(address)
	if err != nil || len(address) > nostr.MaxAddressBytes {
		return events.NoteMissing{}, false
	}
	return events.NoteMissing{Address: a.String(), AuthorPubkey: a.PubKey}, true
}

func onlyTag(e *nostr.Event, name string) (value string) {
	for _, t := range e.Tags {
		if t[0] != name {
			continue
		}
		if value != "" && value != t.At(1) {
			return ""
		}
		value = t.At(1)
	}
	return value
}
