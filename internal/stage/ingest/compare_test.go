package ingest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// silent is a relay whose subscription brings nothing, so that all is found by
// comparing, and a tail of it.
type silent struct {
	reconcile.Relay // what is not asked

	mu     sync.Mutex
	events map[string]nostr.Event
	plain  bool  // speaks no NIP-77
	fails  error // of every session
	read   int   // events that were sent
	opened int   // sessions

	tail  Tail
	heard map[string]int
}

func newSilent() *silent {
	s := &silent{events: map[string]nostr.Event{}, heard: map[string]int{}}
	s.tail = Tail{
		URL: "wss://relay.example.com", Seen: NewSeen(), Log: slog.New(slog.DiscardHandler),
		Cursors: &memory[contract.Cursor]{values: map[string]contract.Cursor{}},
		Heard:   &memory[contract.Heard]{values: map[string]contract.Heard{}},
		Relay:   func(context.Context) (reconcile.Relay, error) { return s, nil },
		Follow: func(
			ctx context.Context, _ int64, _ func(context.Context, nostr.Event) error, caughtUp func(context.Context, int64) error,
		) error {
			if err := caughtUp(ctx, time.Now().Unix()); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		},
		Publish: func(_ context.Context, out ...contract.Output) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			id, _ := nostr.PeekID(out[0].Data)
			s.heard[id]++
			return nil
		},
	}
	return s
}

// gets has the relay accept an event.
func (s *silent) gets(n int, at int64) nostr.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := sha256.Sum256([]byte(strconv.Itoa(n)))
	e := nostr.Event{ID: hex.EncodeToString(id[:]), CreatedAt: at, Kind: 1}
	s.events[e.ID] = e
	return e
}

// now has each session that is opened from now on end with an error, if it is not nil.
func (s *silent) now(fails error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = fails
}

func (s *silent) list(f nostr.Filter) (list []nostr.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := maps.Values(s.events)
	if len(f.IDs) > 0 {
		from = func(yield func(nostr.Event) bool) {
			for _, id := range f.IDs {
				if e, ok := s.events[id]; ok && !yield(e) {
					return
				}
			}
		}
	}
	for e := range from {
		if f.Match(&e) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b nostr.Event) int {
		return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return list
}

func (s *silent) Open(ctx context.Context, f nostr.Filter, first []byte) (reconcile.Session, []byte, error) {
	s.mu.Lock()
	s.opened++
	fails, plain := s.fails, s.plain
	s.mu.Unlock()
	if fails != nil || plain {
		return nil, nil, cmp.Or(fails, reconcile.ErrNoNegentropy)
	}
	var items []negentropy.Item
	for _, e := range s.list(f) {
		id, err := negentropy.ParseID(e.ID)
		if err != nil {
			return nil, nil, err
		}
		items = append(items, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
	}
	return reconcile.OpenSet(ctx, negentropy.NewVector(items), first)
}

func (s *silent) Query(_ context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		for n, e := range s.list(filters[0]) {
			if s.read++; n == filters[0].Limit || !yield(e, nil) {
				return
			}
		}
	}
}

func (*silent) Limits(context.Context) reconcile.Limits { return reconcile.Limits{} }

// runs runs the tail for a while, as one process does.
func (s *silent) runs(t *testing.T, lasts time.Duration, meanwhile func()) {
	t.Helper()
	s.tail.Seen, s.tail.compared, s.tail.speaks = NewSeen(), time.Time{}, false
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.tail.Run(ctx) }()
	synctest.Wait()
	meanwhile()
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the tail ended: %v", err)
	}
}

func (s *silent) times(e nostr.Event) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard[e.ID]
}

func TestWhatIsDeletedAndComesAgainIsHeardAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSilent()
		e, other := s.gets(1, 1000), s.gets(2, 1_000_000)
		s.runs(t, time.Minute, func() {
			if s.times(e) != 1 || s.times(other) != 1 {
				t.Errorf("heard %v", s.heard)
			}
		})
		delete(s.events, e.ID)
		s.runs(t, time.Minute, func() {})
		s.events[e.ID] = e
		s.runs(t, time.Minute, func() {})
		s.runs(t, time.Minute, func() {})
		if s.times(e) != 2 || s.times(other) != 1 {
			t.Errorf("heard %v", s.heard)
		}
	})
}

// A subscription that has lost an event without a word is no reason to lack it.
func TestARelayIsComparedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSilent()
		s.runs(t, 3*time.Hour, func() {
			e := s.gets(1, 1000)
			time.Sleep(compareEvery + time.Second)
			s.now(reconcile.NewRefusal(reconcile.ParseReason("error: not now")))
			later := s.gets(2, 1001)
			time.Sleep(compareEvery)
			if s.times(e) != 1 || s.times(later) != 0 {
				t.Errorf("heard %v", s.heard)
			}
			s.now(nil)
			time.Sleep(compareEvery - 2*time.Second)
			if s.times(e) != 1 || s.times(later) != 1 {
				t.Errorf("heard %v", s.heard)
			}
		})
		if s.opened > 5 {
			t.Errorf("%d sessions in three hours", s.opened)
		}
	})
}

// A relay without NIP-77 is read part by part, an hour's part each time, over
// restarts too, and what is equal is not read as often as it is compared.
func TestAPlainRelayIsReadPartByPart(t *testing.T) {
	const stored = 12_000
	synctest.Test(t, func(t *testing.T) {
		s := newSilent()
		for i := range stored {
			s.gets(i, 1_000_000+60*int64(i))
		}
		s.runs(t, time.Minute, func() {})
		if len(s.heard) != stored {
			t.Fatalf("%d of %d were heard", len(s.heard), stored)
		}
		s.plain, s.read = true, 0
		lacked := []nostr.Event{s.gets(-1, 5), s.gets(-2, 1_000_001), s.gets(-3, 1_000_000+60*stored/2), s.gets(-4, 1_000_000+60*stored)}
		heard := func() (n int) {
			for _, e := range lacked {
				n += s.times(e)
			}
			return n
		}
		s.runs(t, time.Minute, func() {})
		if first := heard(); first == 0 || first == len(lacked) || s.read > stored {
			t.Errorf("at first %d of what came last were heard, and %d events were read", first, s.read)
		}
		for range 3 {
			s.runs(t, compareEvery+time.Minute, func() {})
		}
		if heard() != len(lacked) || len(s.heard) != stored+len(lacked) {
			t.Errorf("%d of %d were heard", heard(), len(lacked))
		}
		for n := range maps.Values(s.heard) {
			if n != 1 {
				t.Fatalf("heard %d times", n)
			}
		}
	})
}

// KV or NATS that fail end the tail, whoever finds out.
func TestATailEndsIfWhatItComparesCannotBeHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, away := newSilent(), errors.New("away")
		s.gets(1, 1000)
		s.tail.Publish = func(context.Context, ...contract.Output) error { return away }
		if err := s.tail.Run(t.Context()); !errors.Is(err, away) {
			t.Errorf("ended with %v", err)
		}
		if n := len(s.tail.Heard.(*memory[contract.Heard]).values); n > 0 {
			t.Errorf("what was not handed on counts as heard: %d parts", n)
		}
	})
}
