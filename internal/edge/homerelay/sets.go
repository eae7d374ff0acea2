package homerelay

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// errBusy is worded so that clients do not take it for a set that is too large.
var errBusy = errors.New("too much is held for negentropy sessions; try again later")

// sets holds the sealed sets of open sessions. Sessions with the same filters
// share one for as long as nothing is written in between.
type sets struct {
	ctx      context.Context //nolint:containedctx // ends with the relay
	store    *store
	ledger   *ledger
	building *gate
	items    sync.Pool // buffers of those that build
	most     int       // records of one set; tests lower it

	mu      sync.Mutex
	shared  map[[32]byte]*set
	records int // of all sets that are in use
}

// set is a sealed set. Its items and err may be read once ready is closed.
type set struct {
	key        setKey
	generation uint64
	users      []*holding // guarded by sets.mu; its records count for the first
	paid       bool       // likewise: they are counted
	begun      atomic.Bool
	ready      chan struct{}
	items      negentropy.Store
	err        error
}

// setKey names a set: to whom it is shown, the filters, and a hash of both.
type setKey struct {
	hash    [32]byte
	viewer  *viewer
	filters []nostr.Filter
}

func newSetKey(v *viewer, filters []nostr.Filter) setKey {
	v = v.of(filters)
	return setKey{sha256.Sum256(nostr.Encode([]any{v, filters})), v, filters}
}

func newSets(ctx context.Context, s *store, l *ledger) *sets {
	return &sets{ctx: ctx, store: s, ledger: l, building: newGate(maxBuilding), most: maxRecords, shared: map[[32]byte]*set{}}
}

// open returns the set of what the store holds now; release must follow. Each
// session waits for its own turn to build it: one of a party that has much to do must
// not keep the others waiting. The first that has one builds it, and goes on when its
// client leaves.
func (l *sets) open(ctx context.Context, h *holding, key setKey) (*set, error) {
	if items := l.store.whole.of(key.filters); items != nil {
		return &set{items: items}, nil
	}
	generation := l.store.generation.Load()
	l.mu.Lock()
	s := l.shared[key.hash]
	if s == nil || s.generation != generation {
		s = &set{key: key, generation: generation, ready: make(chan struct{})}
		l.shared[key.hash] = s
	}
	s.users = append(s.users, h)
	l.mu.Unlock()
	l.build(ctx, s, h.party)
	select {
	case <-s.ready:
	case <-ctx.Done():
		l.release(s, h)
		return nil, ctx.Err()
	}
	if s.err != nil {
		l.release(s, h)
		return nil, s.err
	}
	return s, nil
}

// build builds a set when it is a party's turn, unless somebody else has begun.
func (l *sets) build(ctx context.Context, s *set, p party) {
	if s.begun.Load() {
		return
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.ready:
			cancel()
		case <-waiting.Done():
		}
	}()
	if !l.building.enter(waiting, p, 1, 1) {
		return
	}
	defer l.building.leave(1)
	if s.begun.Swap(true) {
		return
	}
	defer close(s.ready)
	buffer, _ := l.items.Get().(*[]negentropy.Item)
	if buffer == nil {
		buffer = new([]negentropy.Item)
	}
	defer l.items.Put(buffer) // NewVector has copied them
	items, err := l.store.Items(l.ctx, s.key.viewer, s.key.filters, l.most, l.looks(p), (*buffer)[:0])
	*buffer = items
	if err != nil {
		s.err = err
		return
	}
	oldestFirst(items)
	vector := negentropy.NewVector(items)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, h := range s.users {
		if err = l.ledger.take(h, records, vector.Len()); err == nil {
			s.users[0], s.users[i] = h, s.users[0]
			l.records += vector.Len()
			s.items, s.paid = vector, true
			return
		}
	}
	s.err = fmt.Errorf("%w: %w", errBusy, err)
}

// looks bounds the index entries that a party may have looked at for a set, during which
// others wait: one of few records may lie among all that there are, for each filter.
func (l *sets) looks(p party) int {
	if p.own {
		return 0
	}
	return l.most
}

// oldestFirst turns round the order in which a filter's items are read, so that they
// need not be sorted: of equal times the lowest id still comes first.
func oldestFirst(items []negentropy.Item) {
	slices.Reverse(items)
	for begin := 0; begin < len(items); {
		end := begin + 1
		for end < len(items) && items[end].Timestamp == items[begin].Timestamp {
			end++
		}
		slices.Reverse(items[begin:end])
		begin = end
	}
}

// release gives a set back; the last user frees it, and until then it counts
// for one of those who are left.
func (l *sets) release(s *set, h *holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(s.users, h)
	if i < 0 {
		return // it is the whole set, which nobody pays for
	}
	s.users = slices.Delete(s.users, i, i+1)
	if s.paid && i == 0 {
		l.ledger.give(h, records, s.items.Len())
		s.paid = false
	}
	if len(s.users) > 0 {
		if s.items != nil && !s.paid {
			err := l.ledger.take(s.users[0], records, s.items.Len())
			if s.paid = err == nil; !s.paid {
				s.users[0].end(err) // its release is next
			}
		}
		return
	}
	if l.shared[s.key.hash] == s {
		delete(l.shared, s.key.hash)
	}
	if s.items != nil {
		l.records -= s.items.Len()
	}
}
