package syncing

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/pager"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxSet bounds the events of a slice that a survey compares, the newest: some 40 MB.
const maxSet = 400_000

// surveySet is what the local relay has of a filter, read once for all looks of a pass.
// What these bring is added, so that no two relays bring the same.
type surveySet struct {
	local  reconcile.Relay
	filter nostr.Filter // Since is where the set begins
	tree   *negentropy.Tree
	by     map[string][]negentropy.Item // the same by author, where smaller filters may be asked; else nil

	mu      sync.Mutex
	brought []contract.Brought // a sample, each event with the same chance
	n       int                // events of which the sample is
}

// readSet reads the set. parts says that it will be asked for by smaller filters, too.
func readSet(ctx context.Context, local reconcile.Relay, filter nostr.Filter, parts bool) (*surveySet, error) {
	var items []negentropy.Item
	var by map[string][]negentropy.Item
	if parts {
		by = map[string][]negentropy.Item{}
	}
	filter.Limit = local.Limits(ctx).PageSize()
	p, full := pager.Pager{Filter: filter}, fmt.Errorf("more than %d events", maxSet)
	err := reconcile.Walk(ctx, local, &p, func(e nostr.Event) error {
		id, err := negentropy.ParseID(e.ID)
		if err != nil || e.CreatedAt < 0 {
			return err
		}
		item := negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id}
		items = append(items, item)
		if parts {
			by[e.PubKey] = append(by[e.PubKey], item)
		}
		if len(items) > maxSet && filter.Since < e.CreatedAt+1 {
			filter.Since = e.CreatedAt + 1
			return full
		}
		return nil
	})
	if err != nil && err != full { //nolint:errorlint // that very value
		return nil, fmt.Errorf("couldn't read what the local relay has: %w", err)
	}
	filter.Limit = 0
	return &surveySet{local: local, filter: filter, tree: negentropy.NewTree(items), by: by}, nil
}

// has reports whether the set has an event, or would not show it.
func (s *surveySet) has(e contract.Brought) bool {
	id, err := negentropy.ParseID(e.ID)
	it := negentropy.Item{Timestamp: uint64(max(e.At, 0)), ID: id}
	set := s.tree.Snapshot()
	i := set.Search(0, it)
	return e.At < s.filter.Since || err == nil && i < set.Len() && set.At(i) == it
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
			if item, ok := s.add(q.Event, q.Reply.Outcome == reconcile.Stored); ok && tree != s.tree {
				tree.Insert(item)
			}
		}
		return err
	})
	return reconcile.OverSet(delivered(grows, from), tree)
}

// part is the set of some of the authors.
func (s *surveySet) part(authors []string) *negentropy.Tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	var items []negentropy.Item
	for _, pubkey := range authors {
		items = append(items, s.by[pubkey]...)
	}
	return negentropy.NewTree(items)
}

// add takes in an event that the local relay has now. Whether it keeps it is told by
// those kinds that nothing replaces. It returns the event as sets have it.
func (s *surveySet) add(e *nostr.Event, stored bool) (item negentropy.Item, ok bool) {
	id, err := negentropy.ParseID(e.ID)
	if err != nil || e.CreatedAt < 0 {
		return item, false
	}
	item = negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id}
	s.tree.Insert(item)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by != nil {
		s.by[e.PubKey] = append(s.by[e.PubKey], item)
	}
	if !stored || nostr.Replaceable(e.Kind) || nostr.Addressable(e.Kind) {
		return item, true
	}
	s.n++
	b := contract.Brought{ID: e.ID, At: e.CreatedAt}
	if len(s.brought) < maxBrought {
		s.brought = append(s.brought, b)
	} else if i := rand.IntN(s.n); i < maxBrought {
		s.brought[i] = b
	}
	return item, true
}
