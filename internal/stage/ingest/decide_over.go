package ingest

import (
	"slices"

	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// readEnding reads a deletion or a request to vanish, or returns nil if it ends no
// relay list: a deletion of anything else, a request to vanish from some relay only.
func readEnding(e *nostr.Event) *stage.Ending {
	over := &stage.Ending{At: e.CreatedAt}
	if e.Kind == nostr.KindVanish {
		over.All = slices.ContainsFunc(e.Tags, func(t nostr.Tag) bool { return t[0] == "relay" && t.At(1) == "ALL_RELAYS" })
		if !over.All {
			return nil
		}
		return over
	}
	for _, t := range e.Tags {
		switch t[0] {
		case "e":
			over.IDs = append(over.IDs, t.At(1))
		case "a":
			if a, err := nostr.ParseAddress(t.At(1)); err == nil && a.PubKey == e.PubKey {
				over.Addresses = append(over.Addresses, a)
			}
		}
	}
	if len(over.IDs)+len(over.Addresses) == 0 {
		return nil
	}
	return over
}
