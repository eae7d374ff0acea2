package syncing

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// maxDelivered is of how many authors a sync remembers that it stored events.
	maxDelivered = maxAuthors
	// deliveredEvery is how often it is written down that a relay delivers.
	deliveredEvery = 24 * time.Hour
	// maxSeen is at how many relays an author is followed that only deliveries speak
	// for: beyond it, others of the author's relays bring the same.
	maxSeen = 16
)

// authors are those of whom a relay has delivered events that the local relay
// lacked, and how many. It is safe for concurrent use.
type authors struct {
	mu sync.Mutex
	of map[string]int
}

func (a *authors) add(pubkey string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = map[string]int{}
	}
	if _, known := a.of[pubkey]; known || len(a.of) < maxDelivered {
		a.of[pubkey]++
	}
}

// counts returns how many events of each author were stored by now.
func (a *authors) counts() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.of)
}

// delivered is the local relay of which it is noted whose events it takes that it
// did not have. What a relay invents or sends again is none of those.
func delivered(local reconcile.Relay, from *authors) reconcile.Relay {
	return reconcile.Through(func(ctx context.Context, q *reconcile.Request, ask reconcile.Ask) error {
		err := ask(ctx, local)
		if q.Op == reconcile.OpPublish && err == nil && q.Reply.Outcome == reconcile.Stored {
			from.add(q.Event.PubKey)
		}
		return err
	})
}

// followed reports whether our users follow one of the authors. Keys are free, so
// the events of others prove nothing.
func (s *Stage) followed(ctx context.Context, from *authors) bool {
	of := from.counts()
	if s.Followed == nil || len(of) == 0 {
		return false
	}
	is, err := s.Followed(ctx, slices.Collect(maps.Keys(of)))
	if err != nil {
		s.Log.DebugContext(ctx, "couldn't ask whom our users follow", "err", err)
	}
	return is
}

// evidence writes down whose events a relay has delivered, once a day for each
// author who is linked to it. asked says that others were asked for, too: they are
// linked as seen there, unless they are at enough such relays. Whoever came along
// otherwise, by a mention for instance, is none of our authors for that.
func (s *Stage) evidence(ctx context.Context, url string, from *authors, asked bool) error {
	now, key := s.Now().Unix(), nostr.RelayKey(url)
	for pubkey, n := range from.counts() {
		at := contract.LinkKey(key, pubkey)
		old, linked, err := s.Links.Get(ctx, at)
		if err != nil {
			return err
		}
		if !linked && !asked || linked && old.Via[contract.ViaDelivered] > now-int64(deliveredEvery/time.Second) {
			continue
		}
		if !linked {
			full, err := s.seenEnough(ctx, pubkey)
			if err != nil {
				return err
			}
			if full {
				continue
			}
		}
		_, err = s.Links.Update(ctx, at, func(old contract.Link, found bool) (contract.Link, bool) {
			return stage.Delivered(old, url, n, now), found == linked
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// seenEnough reports whether an author is linked to as many relays as may be that
// only deliveries speak for.
func (s *Stage) seenEnough(ctx context.Context, pubkey string) (bool, error) {
	n := 0
	err := s.Links.Each(ctx, contract.LinkKey("*", pubkey), func(_ string, l contract.Link) error {
		if stage.OnlySeen(l) {
			n++
		}
		return nil
	})
	return n >= maxSeen, err
}
