package syncing

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxAuthors is how many authors one filter names.
const maxAuthors = reconcile.MaxNamed

// Rule says what is synced with a relay.
type Rule struct {
	Direction reconcile.Direction
	Filter    nostr.Filter // without limit
	// Writers narrows the filter to the authors who write to the relay, and
	// Mentions adds what mentions those who read there, by the same filter.
	Writers, Mentions bool
	// Named says that the operator named the relay: it is synced although
	// nobody writes there.
	Named bool
}

// named reports whether the operator has named a relay.
func (s *Stage) named(url string) bool {
	return slices.ContainsFunc(s.Rules(url), func(r Rule) bool { return r.Named })
}

// job is a filter that is synced with a relay, and in which direction.
type job struct {
	filter    nostr.Filter
	direction reconcile.Direction
}

// key names the job in the progress of a sync.
func (j job) key() string { return j.filter.Key() + strconv.Itoa(int(j.direction)) }

// jobs returns what is to be synced with a relay, and how many authors write
// there. It is nothing if none does, and none reads there whose mentions are
// asked for, unless the operator named the relay; and nothing if the relay is
// denied. No denied key is among the authors.
func (s *Stage) jobs(ctx context.Context, url string) (list []job, authors int, err error) {
	if s.Denied.Relay(url) {
		return nil, 0, nil
	}
	relay := nostr.RelayKey(url)
	writers, err := s.linked(ctx, contract.LinkKey(relay, "*"))
	if err != nil {
		return nil, 0, err
	}
	var readers []string
	rules := s.Rules(url)
	if slices.ContainsFunc(rules, func(r Rule) bool { return r.Mentions }) {
		if readers, err = s.linked(ctx, contract.ReaderKey(relay, "*")); err != nil {
			return nil, 0, err
		}
	}
	for _, r := range rules {
		var filters []nostr.Filter
		switch {
		case r.Writers:
			filters = chunks(r.Filter, writers)
		case !r.Named && len(writers) == 0:
		default:
			filters = reconcile.Divide(r.Filter)
		}
		if r.Mentions {
			filters = append(filters, mentions(r.Filter, readers)...)
		}
		for _, f := range filters {
			if !f.Void() {
				list = append(list, job{f, r.Direction})
			}
		}
	}
	return list, len(writers), nil
}

// linked lists the public keys of the links that match a pattern.
func (s *Stage) linked(ctx context.Context, pattern string) (pubkeys []string, err error) {
	err = s.Links.Each(ctx, pattern, func(key string, _ contract.Link) error {
		if pubkey := key[len(pattern)-1:]; !s.Denied.Key(pubkey) {
			pubkeys = append(pubkeys, pubkey)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't list links %s: %w", pattern, err)
	}
	return pubkeys, nil
}

// down returns the filters of the jobs that write to the local relay.
func down(list []job) (filters []nostr.Filter) {
	for _, j := range list {
		if j.direction&reconcile.Down != 0 {
			filters = append(filters, j.filter)
		}
	}
	return filters
}
