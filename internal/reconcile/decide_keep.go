package reconcile

import (
	"slices"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// private are the kinds that are meant for the relays of their recipients
// alone: direct messages (NIP-04), seals and gift wraps (NIP-59, NIP-17).
var private = []int{4, 13, 14, 15, 1059, 1060}

// mayUpload decides whether an event may be written to a relay that is not
// ours. why names the rule that forbids it. Deletions (NIP-09) travel like any
// event: they are what makes both sides forget.
func mayUpload(e *nostr.Event, now int64, privateToo bool) (why string) {
	if why := MayCopy(e, now); why != "" {
		return why
	}
	if !privateToo && slices.Contains(private, e.Kind) {
		return "private"
	}
	return ""
}
