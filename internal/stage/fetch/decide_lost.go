package fetch

import (
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxAsked bounds the relays that are remembered of a lost note.
const maxAsked = 2 * maxRelays

// unasked returns those hints of a lost note that were not asked for it, and
// whether the note is still held to be lost at now (Unix seconds).
func unasked(lost contract.Lost, hints []string, local string, now int64) (hinted []string, held bool) {
	for _, url := range hints {
		if !nostr.SameRelay(url, local) && !nostr.HasRelay(lost.Relays, url) {
			hinted = append(hinted, url)
		}
	}
	return hinted, lost.Until > now
}

// lose is what is remembered of a note after relays were asked in vain. While
// it is held to be lost only those of new hints are asked, which does not put
// off the next search everywhere.
func lose(old contract.Lost, asked []string, why string, now int64, hold time.Duration) contract.Lost {
	next := contract.Lost{At: now, Until: now + int64(hold.Seconds()), Why: why}
	if old.Until > now {
		next.At, next.Until, next.Relays = old.At, old.Until, slices.Clone(old.Relays)
	}
	for _, url := range asked {
		if len(next.Relays) < maxAsked && !nostr.HasRelay(next.Relays, url) {
			next.Relays = append(next.Relays, url)
		}
	}
	return next
}

// newer decides which of two versions of a replaceable event stands (NIP-01).
func newer(a, b *nostr.Event) bool {
	return a.CreatedAt > b.CreatedAt || (a.CreatedAt == b.CreatedAt && a.ID < b.ID)
}
