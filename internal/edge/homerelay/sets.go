package homerelay

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// errBusy is worded so that clients do not take it for a set that is too large.
var errBusy = errors.New("too many concurrent negentropy sessions; try again later")

// sets holds the sealed sets of open sessions. Sessions with the same filters
// share one for as long as nothing is written in between.
type sets struct {
	ctx      context.Context //nolint:containedctx // ends with the relay
	store    *store
	building chan struct{}
	most     int // records of one set; tests lower it

	mu       sync.Mutex
	shared   map[[32]byte]*set
	sessions int // users of all sets
	records  int // of all sets that are in use
}

// set is a sealed set. Its vector and err may be read once ready is closed.
type set struct {
	key        setKey
	generation uint64
	users      int // guarded by sets.mu
	ready      chan struct{}
	vector     *negentropy.Vector
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

func newSets(ctx context.Context, s *store) *sets {
	return &sets{ctx: ctx, store: s, building: make(chan struct{}, maxBuilding), most: maxRecords, shared: map[[32]byte]*set{}}
}

// open returns the set of what the store holds now; release must follow. The
// session that is first builds it, and goes on when its client leaves: others
// may wait for it.
func (l *sets) open(ctx context.Context, key setKey) (*set, error) {
	generation := l.store.generation.Load()
	l.mu.Lock()
	if l.sessions == maxSessionsInAll {
		l.mu.Unlock()
		return nil, errBusy
	}
	l.sessions++
	s := l.shared[key.hash]
	first := s == nil || s.generation != generation
	if first {
		s = &set{key: key, generation: generation, ready: make(chan struct{})}
		l.shared[key.hash] = s
	}
	s.users++
	l.mu.Unlock()
	if first {
		l.build(s)
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		l.release(s)
		return nil, ctx.Err()
	}
	if s.err != nil {
		l.release(s)
		return nil, s.err
	}
	return s, nil
}

// build is called once for each set, and closes ready.
func (l *sets) build(s *set) {
	defer close(s.ready)
	if !acquire(l.ctx, l.building) {
		s.err = l.ctx.Err()
		return
	}
	defer func() { <-l.building }()
	items, err := l.store.Items(l.ctx, s.key.viewer, s.key.filters, l.most)
	if err != nil {
		s.err = err
		return
	}
	vector := negentropy.NewVector(items)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.records+vector.Len() > maxRecordsInAll {
		s.err = errBusy
		return
	}
	l.records += vector.Len()
	s.vector = vector
}

// release gives a set back; the last user frees it.
func (l *sets) release(s *set) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions--
	if s.users--; s.users > 0 {
		return
	}
	if l.shared[s.key.hash] == s {
		delete(l.shared, s.key.hash)
	}
	if s.vector != nil {
		l.records -= s.vector.Len()
	}
}
