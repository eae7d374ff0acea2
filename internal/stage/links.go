package stage

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// SetLinks makes the links of an author by the evidence via equal to the relays
// of a list (normalised URLs) of that version: missing links are added, and
// the evidence is taken back from relays that the list leaves out. A link with
// no evidence left is removed. It is idempotent; call it again after a failure.
//
// It reads back what the bucket holds rather than the list before, so that a
// worker that died halfway leaves nothing behind.
func SetLinks(ctx context.Context, links Store[events.Link], pubkey, via string, relays []string, version int64) error {
	for _, url := range relays {
		_, err := links.Update(ctx, events.LinkKey(events.RelayKey(url), pubkey), func(l events.Link, _ bool) (events.Link, bool) {
			if have, ok := l.Via[via]; ok && have >= version {
				return l, false
			}
			l = events.Link{URL: url, Via: maps.Clone(l.Via)}
			if l.Via == nil {
				l.Via = map[string]int64{}
			}
			l.Via[via] = version
			return l, true
		})
		if err != nil {
			return fmt.Errorf("couldn't link %s to %s: %w", pubkey, url, err)
		}
	}
	return links.Each(ctx, events.LinkKey("*", pubkey), func(key string, l events.Link) error {
		have, ok := l.Via[via]
		if !ok || have >= version || slices.Contains(relays, l.URL) {
			return nil
		}
		_, err := links.Update(ctx, key, func(l events.Link, found bool) (events.Link, bool) {
			if have, ok := l.Via[via]; !found || !ok || have >= version {
				return l, false
			}
			l.Via = maps.Clone(l.Via)
			delete(l.Via, via)
			return l, true
		})
		if err == nil {
			_, err = links.Remove(ctx, key, func(l events.Link) bool { return len(l.Via) == 0 })
		}
		if err != nil {
			return fmt.Errorf("couldn't unlink %s from %s: %w", pubkey, l.URL, err)
		}
		return nil
	})
}
