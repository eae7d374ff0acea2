package demo

import (
	"math"
	"strconv"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// expected returns the ids that a relay must show to anyone at a time (Unix seconds)
// once it was offered all of these events, in any order: all but the replaced and
// the ephemeral (NIP-01), the deleted (NIP-09), the expired (NIP-40), those that
// only their author may hand on (NIP-70) and messages, which are for their parties.
func expected(all []nostr.Event, now int64) map[string]bool {
	newest := map[string]*nostr.Event{}
	deleted := map[string]int64{} // by author and id or address, when
	for i := range all {
		e := &all[i]
		if a, ok := address(e); ok {
			if old := newest[a]; old == nil || supersedes(e, old) {
				newest[a] = e
			}
		}
		if e.Kind != 5 {
			continue
		}
		for _, t := range e.Tags {
			if t[0] == "e" || t[0] == "a" {
				deleted[e.PubKey+t.At(1)] = max(deleted[e.PubKey+t.At(1)], e.CreatedAt)
			}
		}
	}
	out := map[string]bool{}
	for i := range all {
		e := &all[i]
		a, replaceable := address(e)
		_, gone := deleted[e.PubKey+e.ID]
		switch {
		case nostr.Ephemeral(e.Kind),
			nostr.Private(e.Kind),
			e.Tag("-") != nil,
			expires(e) <= now,
			replaceable && newest[a].ID != e.ID,
			replaceable && deleted[e.PubKey+a] >= e.CreatedAt,
			gone && e.Kind != 5:
		default:
			out[e.ID] = true
		}
	}
	return out
}

func expires(e *nostr.Event) int64 {
	at, err := strconv.ParseInt(e.Tag("expiration").At(1), 10, 64)
	if err != nil {
		return math.MaxInt64
	}
	return at
}

func supersedes(e, old *nostr.Event) bool {
	return e.CreatedAt > old.CreatedAt || e.CreatedAt == old.CreatedAt && e.ID < old.ID
}

func address(e *nostr.Event) (string, bool) {
	a, found := nostr.AddressOf(e)
	return a.String(), found
}
