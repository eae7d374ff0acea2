package syncing

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/pager"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// maxSet bounds the events of a slice that a survey compares: some 40 MB.
	maxSet = 400_000
	// maxCut is of how many authors only later events are compared, so that those of the
	// others find room: each takes a session of its own at every relay.
	maxCut = 4
)

// surveySet is what the local relay has of a filter, read once for all looks of a pass.
// What these bring is added, so that no two relays bring the same.
type surveySet struct {
	local  reconcile.Relay
	filter nostr.Filter // Since is where the set begins
	tree   *negentropy.Tree
	by     map[string][]negentropy.Item // the same by author, where smaller filters may be asked; else nil
	cut    map[string]int64             // authors who have written too much, and where the set begins for them

	mu      sync.Mutex
	parts   map[string]*negentropy.Tree   // of some of the authors, by these
	partsOf map[string][]*negentropy.Tree // the same, by author
	brought []contract.Brought            // a sample, each event with the same chance
	n       int                           // events of which the sample is
}

// readSet reads the set, of most events. Where there are more, older ones are left out of those
// authors who have most. parts says that it will be asked for by smaller filters, too.
func readSet(ctx context.Context, local reconcile.Relay, filter nostr.Filter, most int, parts bool) (*surveySet, error) {
	s := &surveySet{local: local, filter: filter, by: map[string][]negentropy.Item{}, cut: map[string]int64{}}
	n, full := 0, fmt.Errorf("more than %d events", most)
	takes := local.Limits(ctx)
	filter.Limit = takes.PageSize()
	p := pager.Pager{Filter: filter, Most: takes.Page}
	// An id is the hash of all but the signature, which was verified by who took the event in: to verify it in each pass
	// again would be the larger part of a pass.
	ctx = reconcile.WithHeld(ctx, func(*nostr.Event) bool { return true })
	err := reconcile.Walk(ctx, local, &p, func(e nostr.Event) error {
		id, err := negentropy.ParseID(e.ID)
		if err != nil || e.CreatedAt < s.cut[e.PubKey] || e.CreatedAt < 0 {
			return err
		}
		s.by[e.PubKey] = append(s.by[e.PubKey], negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
		if n++; n <= most {
			return nil
		}
		if len(s.cut) >= maxCut {
			s.filter.Since = e.CreatedAt + 1
			return full
		}
		pubkey, dropped := s.halve()
		n -= dropped
		p.Filter.Authors = slices.DeleteFunc(slices.Clone(p.Filter.Authors), func(a string) bool { return a == pubkey })
		return nil
	})
	if err != nil && err != full { //nolint:errorlint // that very value
		return nil, fmt.Errorf("couldn't read what the local relay has: %w", err)
	}
	s.tree = negentropy.NewTree(slices.Concat(slices.Collect(maps.Values(s.by))...))
	if !parts && len(s.cut) == 0 {
		s.by = nil
	}
	return s, nil
}

// halve leaves out the older half of the events of the author who has most, and returns how
// many those were. The set is being read, newest first.
func (s *surveySet) halve() (pubkey string, dropped int) {
	for a, items := range s.by {
		if of := len(s.by[pubkey]); len(items) > of || len(items) == of && a < pubkey {
			pubkey = a
		}
	}
	items := s.by[pubkey]
	slices.SortFunc(items, func(a, b negentropy.Item) int { return cmp.Compare(b.Timestamp, a.Timestamp) })
	since := items[len(items)/2].Timestamp + 1
	left := slices.IndexFunc(items, func(it negentropy.Item) bool { return it.Timestamp < since })
	s.by[pubkey], s.cut[pubkey] = items[:left], int64(since) //nolint:gosec // a time
	return pubkey, len(items) - left
}

// filters are those to ask for what the set lacks of a span, of at most so many authors each, 0
// is any number.
func (s *surveySet) filters(of span, most int) (list []nostr.Filter) {
	all := s.filter
	all.Since, all.Until = max(all.Since, of.since), of.until
	if all.Until > 0 && all.Until < all.Since {
		return nil // the set begins later
	}
	few := slices.DeleteFunc(slices.Clone(all.Authors), func(a string) bool { return s.cut[a] > all.Since })
	list = chunks(all, few, most)
	for _, a := range all.Authors {
		if s.cut[a] > all.Since && (all.Until == 0 || s.cut[a] <= all.Until) {
			one := all
			one.Authors, one.Since = []string{a}, s.cut[a]
			list = append(list, one)
		}
	}
	return list
}

// has reports whether the set has an event, or may not show it.
func (s *surveySet) has(e contract.Brought) bool {
	id, err := negentropy.ParseID(e.ID)
	it := negentropy.Item{Timestamp: uint64(max(e.At, 0)), ID: id}
	set := s.tree.Snapshot()
	i := set.Search(0, it)
	begins := s.filter.Since
	for _, at := range s.cut {
		begins = max(begins, at)
	}
	return e.At < begins || err == nil && i < set.Len() && set.At(i) == it
}

// relay is the local relay whose sessions about a filter are answered from the set. from is
// told whose events come.
func (s *surveySet) relay(filter *nostr.Filter, from *authors) reconcile.Relay {
	tree := s.tree
	if len(filter.Authors) < len(s.filter.Authors) {
		tree = s.part(filter.Authors)
	}
	grows := reconcile.Through(func(ctx context.Context, q *reconcile.Request, ask reconcile.Ask) error {
		err := ask(ctx, s.local)
		if q.Op == reconcile.OpPublish && err == nil && q.Reply.Kept() {
			s.add(q.Event, q.Reply.Outcome == reconcile.Stored)
		}
		return err
	})
	return reconcile.OverSet(delivered(grows, from), tree)
}

// part is the set of some of the authors, one for all looks.
func (s *surveySet) part(authors []string) *negentropy.Tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.Join(authors, "")
	if tree := s.parts[key]; tree != nil {
		return tree
	}
	var items []negentropy.Item
	for _, pubkey := range authors {
		items = append(items, s.by[pubkey]...)
	}
	tree := negentropy.NewTree(items)
	if s.parts == nil {
		s.parts, s.partsOf = map[string]*negentropy.Tree{}, map[string][]*negentropy.Tree{}
	}
	s.parts[key] = tree
	for _, pubkey := range authors {
		s.partsOf[pubkey] = append(s.partsOf[pubkey], tree)
	}
	return tree
}

// add takes in an event that the local relay has now. Whether it keeps it is told by
// those kinds that nothing replaces.
func (s *surveySet) add(e *nostr.Event, stored bool) {
	id, err := negentropy.ParseID(e.ID)
	if err != nil || e.CreatedAt < 0 {
		return
	}
	item := negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id}
	s.tree.Insert(item)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by != nil {
		s.by[e.PubKey] = append(s.by[e.PubKey], item)
	}
	for _, part := range s.partsOf[e.PubKey] {
		part.Insert(item)
	}
	if !stored || nostr.Replaceable(e.Kind) || nostr.Addressable(e.Kind) {
		return
	}
	s.n++
	b := contract.Brought{ID: e.ID, At: e.CreatedAt}
	if len(s.brought) < maxBrought {
		s.brought = append(s.brought, b)
	} else if i := rand.IntN(s.n); i < maxBrought {
		s.brought[i] = b
	}
}
