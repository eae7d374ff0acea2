package syncing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// censusFor is for how long one reading of KV does for all surveys of this process.
	censusFor = 30 * time.Minute
	// fewFresh is how many authors that were first seen within a week are surveyed at
	// least. Keys are free: there are never more of them than of the others, or this.
	fewFresh = 1000
	// founded is how long after the first author others are none of those: when relaymesh
	// comes to a relay, all whom it finds there are new to it.
	founded = 24 * time.Hour
)

// census is who is surveyed, and where: the authors, sorted, and the relays.
type census struct {
	mu      sync.Mutex // held while it is taken
	at      time.Time
	whole   int64 // all authors are in it who were first seen until then, Unix seconds
	authors []string
	since   map[string]int64 // when those were first seen who were within a week
	relays  []candidate

	monitored int64 // when monitors were last asked, Unix seconds
}

// take reads KV anew if the last time is long ago.
func (c *census) take(ctx context.Context, s *Stage) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := s.Now(); !c.at.IsZero() && now.Sub(c.at) < censusFor && !now.Before(c.at) {
		return nil
	}
	now := s.Now().Unix()
	var known, fresh []string
	since, first := map[string]int64{}, now
	err := s.Authors.Each(ctx, "*", func(pubkey string, a contract.Author) error {
		if !nostr.IsHex(pubkey, 32) || s.Denied.Key(pubkey) {
			return nil
		}
		first = min(first, a.FirstSeen)
		if a.Known(now) {
			known = append(known, pubkey)
		} else {
			fresh = append(fresh, pubkey)
			since[pubkey] = a.FirstSeen
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("couldn't list the authors: %w", err)
	}
	slices.SortFunc(fresh, func(a, b string) int { return cmp.Or(cmp.Compare(since[a], since[b]), cmp.Compare(a, b)) })
	founders, _ := slices.BinarySearchFunc(fresh, first+int64(founded/time.Second)+1, func(pubkey string, at int64) int {
		return cmp.Compare(since[pubkey], at)
	})
	fresh = fresh[:min(len(fresh), founders+max(fewFresh, len(known)+founders))]
	weights := map[string]float64{}
	err = s.Links.Each(ctx, contract.LinkKey("*", "*"), func(key string, l contract.Link) error {
		relay, _, _ := strings.Cut(key, ".")
		weights[relay] += stage.Weigh(l, now)
		return nil
	})
	if err != nil {
		return fmt.Errorf("couldn't list links: %w", err)
	}
	relays, err := s.candidates(ctx, weights)
	if err == nil && now-c.monitored >= int64(monitoredEvery/time.Second) {
		c.monitored = now
		if s.askMonitors(ctx, relays) {
			relays, err = s.candidates(ctx, weights)
		}
	}
	if err != nil {
		return fmt.Errorf("couldn't list relays: %w", err)
	}
	c.authors = slices.Sorted(slices.Values(slices.Concat(known, fresh)))
	c.since, c.relays, c.at, c.whole = since, relays, s.Now(), now-1 // of this second more may come
	return nil
}

// candidates are the relays that may be asked; weights is what speaks for each of the
// authors' links.
func (s *Stage) candidates(ctx context.Context, weights map[string]float64) (relays []candidate, err error) {
	now := s.Now().Unix()
	err = s.Relays.Each(ctx, "*", func(key string, r contract.Relay) error {
		only := s.Survey.Only
		if !s.isLocal(r.URL) && !s.Denied.Relay(r.URL) && !r.AuthRequired && !s.named(r.URL) && (len(only) == 0 || nostr.HasRelay(only, r.URL)) {
			relays = append(relays, candidate{
				key: key, url: r.URL, weight: weights[key] + stage.Named(r.Named, now),
				paged: len(r.NIPs) > 0 && !slices.Contains(r.NIPs, 77), rests: max(r.SurveyRetryAt, r.RetryAt),
				room: r.SurveyRoomAt, most: r.MostAuthors,
			})
		}
		return nil
	})
	return relays, err
}

// of returns the authors of a slice, those of them who were first seen after a time,
// until when no others were, and the relays.
func (c *census) of(slice string, after int64) (authors, fresh []string, whole int64, relays []candidate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	authors = within(slice, c.authors)
	for _, pubkey := range authors {
		if c.since[pubkey] > after {
			fresh = append(fresh, pubkey)
		}
	}
	return authors, fresh, c.whole, c.relays
}
