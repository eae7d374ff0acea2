package syncing

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
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
	// Group are the relays that are kept equal, this one among them: it is synced with
	// the one in the middle, see [Stage.middle], and not with the local relay. None is
	// no group.
	Group []string
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
	group     []string // see [Rule]
	middle    string   // of the group; "" is the local relay, without a group
	writers   bool     // the authors of the filter are those who write to the relay, and nothing is given to it
	begins    string   // under which key it is known that it has read a relay without NIP-77 to its beginning, see [inPages]
}

// key names the job in the progress of a sync.
func (j job) key() string { return j.filter.Key() + strconv.Itoa(int(j.direction)) + j.middle }

// plan is what is to be synced with a relay, how many authors write there, and the
// weight of the evidence that they do; and what is known of the relay, if anything.
type plan struct {
	jobs    []job
	authors int
	weight  float64
	read    map[string]contract.Read // of those authors who have it, see [contract.Link]
	relay   contract.Relay
	known   bool
}

// plan returns the plan of a relay. It has no jobs if nobody writes there, and
// nobody reads there whose mentions are asked for, unless the operator named the
// relay; and none if the relay is denied. No denied key is among the authors.
func (s *Stage) plan(ctx context.Context, url string) (p plan, err error) {
	if s.Denied.Relay(url) {
		return p, nil
	}
	relay := nostr.RelayKey(url)
	writers, err := s.linked(ctx, contract.LinkKey(relay, "*"))
	if err != nil {
		return p, err
	}
	if p.relay, p.known, err = s.Relays.Get(ctx, relay); err != nil {
		return p, err
	}
	p.authors, p.weight, p.read = len(writers.said)+len(writers.seen), writers.weight, writers.read
	var readers linked
	rules := s.Rules(url)
	if slices.ContainsFunc(rules, func(r Rule) bool { return r.Mentions }) {
		if readers, err = s.linked(ctx, contract.ReaderKey(relay, "*")); err != nil {
			return p, err
		}
	}
	for _, r := range rules {
		switch {
		case len(r.Group) > 0:
			middle, err := s.between(ctx, r.Group)
			if err != nil {
				return p, err
			}
			for _, f := range reconcile.Divide(r.Filter) {
				p.jobs = append(p.jobs, job{filter: f, direction: r.Direction, group: r.Group, middle: middle})
			}
		case r.Writers && r.Direction&reconcile.Up == 0:
			p.add(r.Direction, true, chunks(r.Filter, slices.Concat(writers.said, writers.seen), p.relay.MostAuthors))
		case r.Writers: // an author is given to no relay that nobody has said they write to
			p.add(r.Direction, true, chunks(r.Filter, writers.said, p.relay.MostAuthors))
			if down := r.Direction &^ reconcile.Up; down != reconcile.None {
				p.add(down, true, chunks(r.Filter, writers.seen, p.relay.MostAuthors))
			}
		case !r.Named && p.authors == 0:
		default:
			p.add(r.Direction, false, reconcile.Divide(r.Filter))
		}
		if r.Mentions {
			p.add(r.Direction, false, mentions(r.Filter, readers.said))
		}
	}
	return p, nil
}

func (p *plan) add(d reconcile.Direction, writers bool, filters []nostr.Filter) {
	for _, f := range filters {
		if !f.Void() {
			p.jobs = append(p.jobs, job{filter: f, direction: d, writers: writers && d == reconcile.Down})
		}
	}
}

// linked are the public keys of some links, apart those that deliveries alone speak
// for, and the weight of the evidence of all.
type linked struct {
	said, seen []string
	weight     float64
	read       map[string]contract.Read // see [plan]
}

// linked lists the links that match a pattern. Those that nothing speaks for any
// more are removed.
func (s *Stage) linked(ctx context.Context, pattern string) (l linked, err error) {
	now := s.Now().Unix()
	err = s.Links.Each(ctx, pattern, func(key string, link contract.Link) error {
		pubkey := key[len(pattern)-1:]
		switch {
		case s.Denied.Key(pubkey):
			return nil
		case stage.Forgotten(link, now):
			_, err := s.Links.Remove(ctx, key, func(link contract.Link) bool { return stage.Forgotten(link, now) })
			return err
		case stage.OnlySeen(link):
			l.seen = append(l.seen, pubkey)
		default:
			l.said = append(l.said, pubkey)
		}
		if link.Read != nil {
			if l.read == nil {
				l.read = map[string]contract.Read{}
			}
			l.read[pubkey] = *link.Read
		}
		l.weight += stage.Weigh(link, now)
		return nil
	})
	if err != nil {
		return l, fmt.Errorf("couldn't list links %s: %w", pattern, err)
	}
	return l, nil
}

// down returns the jobs that write what the relay has elsewhere.
func down(list []job) []job {
	return slices.DeleteFunc(slices.Clone(list), func(j job) bool { return j.direction&reconcile.Down == 0 })
}

// alike reports whether jobs ask for the same live, for the same relays.
func alike(a, b job) bool { return a.filter.Key() == b.filter.Key() && slices.Equal(a.group, b.group) }
