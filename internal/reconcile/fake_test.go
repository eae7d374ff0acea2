package reconcile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a relay in memory. Its fields change how it behaves; hooks may be nil.
type fake struct {
	mu     sync.Mutex
	events map[string]nostr.Event

	frame   int                                                                // frame limit of its sessions
	maxSet  int                                                                // larger sets are refused, 0 is none
	newest  int                                                                // sessions show only so many, 0 is all
	no77    bool                                                               // speaks no NIP-77
	noIDs   bool                                                               // not about ids
	page    int                                                                // most events per REQ, 0 is all
	takes   Limits                                                             // a REQ with a larger limit is refused
	order   func([]nostr.Event)                                                // changes the order of what matches
	deaf    func(*nostr.Filter)                                                // makes of a filter the one that it heeds
	cut     func() bool                                                        // whether to interrupt now
	refuse  func(e *nostr.Event) string                                        // reason not to take an event
	hides   func(id string) bool                                               // lists it, but does not deliver it
	drops   func(e *nostr.Event) bool                                          // says OK and does not keep it
	respond func(msg []byte) ([]byte, error)                                   // answers sessions
	lists   func(session int, f nostr.Filter, set []nostr.Event) []nostr.Event // what sessions show in place of the set
	query   func(context.Context, nostr.Filter) iter.Seq2[nostr.Event, error]
	refuses func(context.Context, nostr.Filter) error // in place of an answer to a REQ
	write   func(context.Context) error               // before an event is taken
	idle    time.Duration                             // drops a session after so long without a message

	opened  int
	offered map[string]int // by id: how often it was written
}

func newFake(list ...nostr.Event) *fake {
	f := &fake{events: map[string]nostr.Event{}, offered: map[string]int{}}
	for _, e := range list {
		f.events[e.ID] = e
	}
	return f
}

func (f *fake) side(name string) Side { return Side{Relay: f, Name: name} }

func (f *fake) interrupted(err error) error {
	if f.cut != nil && f.cut() {
		return fmt.Errorf("%w: cut", ErrInterrupted)
	}
	return err
}

// matching returns what matches, newest first.
func (f *fake) matching(filter nostr.Filter) []nostr.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []nostr.Event
	for _, id := range filter.IDs {
		if e, ok := f.events[id]; ok && filter.Match(&e) {
			out = append(out, e)
		}
	}
	if len(filter.IDs) > 0 {
		return out
	}
	for _, e := range f.events {
		if filter.Match(&e) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b nostr.Event) int {
		return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func (f *fake) Open(_ context.Context, filter nostr.Filter, first []byte) (Session, []byte, error) {
	f.opened++
	if err := f.interrupted(nil); err != nil {
		return nil, nil, err
	}
	if f.no77 || f.noIDs && len(filter.IDs) > 0 {
		return nil, nil, ErrNoNegentropy
	}
	s := &fakeSession{fake: f, respond: f.respond, last: time.Now()}
	if s.respond == nil {
		set := f.matching(filter)
		if f.maxSet > 0 && len(set) > f.maxSet {
			return nil, nil, fmt.Errorf("%w: %d > %d", ErrTooLarge, len(set), f.maxSet)
		}
		if f.lists != nil {
			set = f.lists(f.opened, filter, set)
		}
		if f.newest > 0 {
			set = set[:min(f.newest, len(set))]
		}
		s.respond = negentropy.NewReconciler(negentropy.NewVector(items(set)), negentropy.Options{FrameLimit: f.frame}).Respond
	}
	answer, err := s.respond(first)
	return s, slices.Clone(answer), err
}

type fakeSession struct {
	fake    *fake
	respond func([]byte) ([]byte, error)
	last    time.Time
}

func (s *fakeSession) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.fake.interrupted(nil); err != nil {
		return nil, err
	}
	if s.fake.idle > 0 && time.Since(s.last) > s.fake.idle {
		return nil, fmt.Errorf("%w: idle", ErrInterrupted)
	}
	answer, err := s.respond(msg)
	s.last = time.Now()
	return slices.Clone(answer), err
}

func (s *fakeSession) Close() {}

func (f *fake) Subscribe(context.Context, ...nostr.Filter) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) { yield(Update{}, errors.ErrUnsupported) }
}

func (f *fake) Limits(context.Context) Limits { return f.takes }

func (f *fake) Query(ctx context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error] {
	filter := filters[0]
	if f.query != nil {
		return f.query(ctx, filter)
	}
	return func(yield func(nostr.Event, error) bool) {
		if f.takes.Page > 0 && (filter.Limit == 0 || filter.Limit > f.takes.Page) {
			yield(nostr.Event{}, errBroken)
			return
		}
		if f.refuses != nil {
			if err := f.refuses(ctx, filter); err != nil {
				yield(nostr.Event{}, err)
				return
			}
		}
		heeded := filter
		if f.deaf != nil {
			f.deaf(&heeded)
		}
		out := f.matching(heeded)
		if f.order != nil {
			f.order(out)
		}
		most := len(out)
		if filter.Limit > 0 {
			most = min(most, filter.Limit)
		}
		if f.page > 0 {
			most = min(most, f.page)
		}
		for _, e := range out[:most] {
			if err := f.interrupted(ctx.Err()); err != nil {
				yield(nostr.Event{}, err)
				return
			}
			if !filter.Match(&e) {
				TellStray(ctx, e.CreatedAt)
			} else if (f.hides == nil || !f.hides(e.ID)) && !yield(e, nil) {
				return
			}
		}
	}
}

func (f *fake) Publish(ctx context.Context, e nostr.Event) (reply Reply, err error) {
	if f.write != nil {
		if err := f.write(ctx); err != nil {
			return reply, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.offered[e.ID]++
	if f.refuse != nil {
		if why := f.refuse(&e); why != "" {
			return ParseReply(false, why), nil
		}
	}
	if f.drops == nil || !f.drops(&e) {
		f.events[e.ID] = e
	}
	// A cut may come after the event was taken.
	return Reply{Outcome: Stored}, f.interrupted(nil)
}

func (f *fake) ids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.events))
}

func items(list []nostr.Event) []negentropy.Item {
	out := make([]negentropy.Item, len(list))
	for i, e := range list {
		id, err := negentropy.ParseID(e.ID)
		if err != nil {
			panic(err)
		}
		out[i] = negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id}
	}
	return out
}

const today = 1_750_000_000

// note is an event of which the sync looks at id, time and kind only.
func note(n int, at int64) nostr.Event {
	var seed [8]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n))
	id := sha256.Sum256(seed[:])
	return nostr.Event{ID: hex.EncodeToString(id[:]), CreatedAt: at, Kind: 1}
}

// notes are n notes from number first on, spread over a year; many share a second.
func notes(first, n int) []nostr.Event {
	r := rand.New(rand.NewPCG(uint64(first), uint64(n)))
	out := make([]nostr.Event, n)
	for i := range out {
		out[i] = note(first+i, today-r.Int64N(365)*86_400)
	}
	return out
}

func options(d Direction) Options {
	return Options{Direction: d, Now: func() time.Time { return time.Unix(today+1000, 0) }}
}

// mustSync runs a sync that is to succeed.
func mustSync(t *testing.T, a, b *fake, o Options) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := Sync(ctx, a.side("a"), b.side("b"), nostr.Filter{}, o)
	if err != nil {
		t.Fatalf("%v; %+v", err, r.Figures)
	}
	return r
}

func union(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

var errBroken = errors.New("broken")
