package reconcile

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// behave gives a relay one of the ways in which relays differ.
func behave(f *fake, kind int) {
	switch kind {
	case 1:
		f.no77 = true
	case 2:
		f.no77, f.page = true, 70 // caps pages without a word
	case 3:
		f.frame = negentropy.MinFrameLimit
	case 4:
		f.maxSet = 90
	case 5:
		f.newest = 100 // shows the newest part of its set only
		f.page = 100
	case 6:
		f.page = 7 // caps what it delivers for a list of ids
	}
}

// Whatever the relays, the direction and the sets, the relays end up with what
// the direction says, and the sync says that it is proved.
func TestSyncInEveryDirectionWithEveryKindOfRelay(t *testing.T) {
	for _, d := range []Direction{None, Up, Down, Both} {
		for ka := range 7 {
			for kb := range 7 {
				t.Run(fmt.Sprintf("%d/%d/%d", d, ka, kb), func(t *testing.T) {
					t.Parallel()
					common := notes(0, 300)
					onlyA, onlyB := notes(1000, 150), notes(2000, 170)
					a, b := newFake(append(onlyA, common...)...), newFake(append(onlyB, common...)...)
					behave(a, ka)
					behave(b, kb)
					wantA, wantB := a.ids(), b.ids()
					if d&Up != 0 {
						wantB = union(b.ids(), a.ids())
					}
					if d&Down != 0 {
						wantA = union(a.ids(), b.ids())
					}
					r := mustSync(t, a, b, options(d))
					if !slices.Equal(a.ids(), wantA) || !slices.Equal(b.ids(), wantB) {
						t.Errorf("a has %d, want %d; b has %d, want %d; %+v", len(a.events), len(wantA), len(b.events), len(wantB), r)
					}
					if !r.Complete || r.Left != 0 {
						t.Errorf("not proved: %q, %d left: %v", r.Why, r.Left, r.Refusals)
					}
					if ka != 5 && kb != 5 && (r.OnlyA != 150 || r.OnlyB != 170) {
						t.Errorf("found %d and %d", r.OnlyA, r.OnlyB)
					}
				})
			}
		}
	}
}

func TestSyncOfEqualRelaysTakesOnePass(t *testing.T) {
	list := notes(0, 1000)
	r := mustSync(t, newFake(list...), newFake(list...), options(Both))
	if r.Passes != 1 || r.Messages != 8 || !r.Complete {
		t.Errorf("%+v", r)
	}
}

func TestSyncOfEmptyRelays(t *testing.T) {
	if r := mustSync(t, newFake(), newFake(), options(Both)); !r.Complete || r.OnlyA+r.OnlyB != 0 {
		t.Errorf("%+v", r)
	}
}

// Connections are cut at random places; nothing is lost, and nothing is
// written that the other side has not got.
func TestSyncSurvivesCuts(t *testing.T) {
	for seed := range 60 {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(seed), 1))
				n := 1 + r.IntN(600)
				common := notes(0, n)
				a, b := newFake(append(notes(10_000, r.IntN(300)), common...)...), newFake(append(notes(20_000, r.IntN(300)), common...)...)
				behave(a, r.IntN(7))
				behave(b, r.IntN(7))
				for _, f := range []*fake{a, b} {
					coin := rand.New(rand.NewPCG(r.Uint64(), 2))
					good := 3 // a relay that never answered is given up soon
					ch := make(chan struct{}, 1)
					f.cut = func() bool {
						ch <- struct{}{}
						defer func() { <-ch }()
						good--
						return good < 0 && coin.IntN(40) == 0
					}
				}
				want := union(a.ids(), b.ids())
				got := mustSync(t, a, b, options(Both))
				if !slices.Equal(a.ids(), want) || !slices.Equal(b.ids(), want) || !got.Complete {
					t.Errorf("a has %d, b has %d, want %d: %+v", len(a.events), len(b.events), len(want), got)
				}
			})
		})
	}
}

// A relay that goes away in the midst of a sync is gone on with as soon as it is back,
// by all who wait for it at once; and not for ever.
func TestSyncGoesOnWhenTheRelayIsBack(t *testing.T) {
	for _, outage := range []time.Duration{3 * time.Second, 45 * time.Second, 100 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			a, b := newFake(notes(0, 1000)...), newFake()
			var gone time.Time
			var lastBack atomic.Int64
			back, written := make(chan struct{}), 0
			b.write = func(context.Context) error {
				b.mu.Lock()
				defer b.mu.Unlock()
				if written++; written == 500 {
					gone = time.Now()
					time.AfterFunc(outage, func() { close(back) })
				}
				if gone.IsZero() {
					return nil
				}
				waited := time.Since(gone)
				if waited < outage {
					return fmt.Errorf("%w: %w", ErrInterrupted, &AwayError{Since: gone, Back: back, Err: errBroken})
				}
				lastBack.Store(int64(waited))
				return nil
			}
			r, err := Sync(t.Context(), a.side("a"), b.side("b"), nostr.Filter{}, options(Up))
			if outage > MaxAway {
				if !errors.Is(err, errBroken) || time.Since(gone) > MaxAway+20*time.Second || r.ToB == 0 {
					t.Errorf("an outage of %s: %v after %s, %+v", outage, err, time.Since(gone), r.Figures)
				}
				time.Sleep(outage) // the timer ends with the test
				return
			}
			if err != nil || !r.Complete || r.ToB != 1000 || time.Duration(lastBack.Load()) > outage+100*time.Millisecond {
				t.Errorf("an outage of %s: %v after %s, %+v", outage, err, time.Duration(lastBack.Load()), r.Figures)
			}
		})
	}
}

func TestRelayThatNeverAnswersIsGivenUpSoon(t *testing.T) {
	a, b := newFake(notes(0, 10)...), newFake()
	b.cut = func() bool { return true }
	_, err := Sync(t.Context(), a.side("a"), b.side("b"), nostr.Filter{}, options(Both))
	if !errors.Is(err, ErrInterrupted) || b.opened != 1+firstRetries || !strings.HasPrefix(err.Error(), "b: ") {
		t.Errorf("%v after %d attempts", err, b.opened)
	}
}

// What a side refuses is named, is offered once, and the rest is transferred.
func TestRefusals(t *testing.T) {
	a, b := newFake(notes(0, 200)...), newFake()
	offered := map[string]int{}
	b.refuse = func(e *nostr.Event) string {
		offered[e.ID]++
		if e.ID < "4" {
			return "blocked: not here"
		}
		return ""
	}
	refused := 0
	for _, id := range a.ids() {
		if id < "4" {
			refused++
		}
	}
	o := options(Up)
	remembered := make(chan Refusal, 200)
	o.Remember = func(r Refusal) { remembered <- r }
	r := mustSync(t, a, b, o)
	if r.Left != refused || len(r.Refusals) != refused || r.ToB != 200-refused || !r.Complete || len(remembered) != refused {
		t.Errorf("want %d refused: %+v, %d remembered", refused, r.Figures, len(remembered))
	}
	for _, x := range r.Refusals {
		if x.Text != "blocked: not here" || x.Cause != ByRelay || x.To != negentropy.SideB || x.ID.String() >= "4" {
			t.Errorf("%+v", x)
		}
	}
	for id, n := range offered {
		if n != 1 {
			t.Errorf("%s was offered %d times", id, n)
		}
	}

	// The next sync knows.
	o.Refused = func(to negentropy.Side, id negentropy.ID) bool { return to == negentropy.SideB && id.String() < "4" }
	clear(offered)
	if r := mustSync(t, a, b, o); len(offered) != 0 || r.Left != refused || r.Refusals[0].Cause != ByEarlier {
		t.Errorf("%d offered again, %+v", len(offered), r.Figures)
	}
}

func TestRefusalsThatPassAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newFake(notes(0, 50)...), newFake()
		tries := map[string]int{}
		b.refuse = func(e *nostr.Event) string {
			if tries[e.ID]++; tries[e.ID] < 3 {
				return "rate-limited: slow down"
			}
			return ""
		}
		if r := mustSync(t, a, b, options(Up)); len(b.events) != 50 || r.Refusals != nil {
			t.Errorf("%+v", r)
		}
	})
}

// A side that says OK and does not keep the event is found out, and the sync
// does not offer it for ever.
func TestAcceptedButNotKept(t *testing.T) {
	a, b := newFake(notes(0, 100)...), newFake()
	b.drops = func(e *nostr.Event) bool { return e.ID < "2" }
	o, remembered := options(Up), make(chan Refusal, 100)
	o.Remember = func(r Refusal) { remembered <- r }
	r := mustSync(t, a, b, o)
	if want := 100 - len(b.events); want == 0 || r.Left != want || r.Refusals[0].Code != NotKept || len(remembered) != want {
		t.Errorf("want %d left: %+v, %d remembered", want, r, len(remembered))
	}
}

// Of what is read together, deletions are written and confirmed first.
func TestDeletionsAreWrittenFirst(t *testing.T) {
	list := notes(0, 90)
	for i := range 9 {
		list[i*10].Kind = 5
	}
	a, b, source := newFake(list...), newFake(), newFake(list...)
	var mu sync.Mutex
	batches, batch := 0, map[string]int{}
	a.query = func(ctx context.Context, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
		mu.Lock()
		defer mu.Unlock()
		batches++
		for _, id := range filter.IDs {
			batch[id] = batches
		}
		return source.Query(ctx, filter)
	}
	others, written, deletions := map[int]bool{}, 0, 0 // batches of which something else is written
	b.refuse = func(e *nostr.Event) string {
		mu.Lock()
		defer mu.Unlock()
		written++
		n := batch[e.ID]
		if e.Kind == 5 && others[n] {
			t.Errorf("a deletion is written after another event of its batch")
		}
		if e.Kind == 5 {
			deletions++
		}
		others[n] = others[n] || e.Kind != 5
		return ""
	}
	mustSync(t, a, b, options(Up))
	if written != 90 || deletions != 9 {
		t.Errorf("%d events written, %d of them deletions", written, deletions)
	}
}

func TestListedButNotDelivered(t *testing.T) {
	a, b := newFake(), newFake(notes(0, 100)...)
	b.hides = func(id string) bool { return id < "2" }
	r := mustSync(t, a, b, options(Down))
	if want := 100 - len(a.events); want == 0 || r.Left != want || r.Undelivered != want || r.Refusals[0].Cause != BySource {
		t.Errorf("want %d left: %+v", want, r)
	}
}

func TestListedForEverAndNeverDelivered(t *testing.T) {
	a, b := newFake(), newFake(notes(0, 5000)...)
	b.hides = func(string) bool { return true }
	r, err := Sync(t.Context(), a.side("a"), b.side("b"), nostr.Filter{}, options(Down))
	if !errors.Is(err, ErrMisbehaving) || r.Undelivered > 2*tolerated {
		t.Errorf("%v after %d", err, r.Undelivered)
	}
}

// A relay whose sessions ignore a part of the filter lists too much.
func TestListedButNotMatching(t *testing.T) {
	other := note(7, today)
	other.Kind = 7
	a, b := newFake(), newFake(append(notes(10, 5), other)...)
	set := items(b.matching(nostr.Filter{}))
	b.respond = negentropy.NewReconciler(negentropy.NewVector(set), negentropy.Options{}).Respond
	r, err := Sync(t.Context(), a.side("a"), b.side("b"), nostr.Filter{Kinds: []int{1}}, options(Down))
	if err != nil || len(a.events) != 5 || r.Left != 1 || r.Refusals[0].Cause != BySource {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestRulesKeepBack(t *testing.T) {
	dm, protected, old, deletion := note(1, today), note(2, today), note(3, today), note(4, today)
	dm.Kind, deletion.Kind = 4, 5
	protected.Tags = []nostr.Tag{{"-"}}
	old.Tags = []nostr.Tag{{"expiration", "1"}}
	list := []nostr.Event{dm, protected, old, deletion}

	a, b := newFake(list...), newFake()
	o, remembered := options(Up), make(chan Refusal, 100)
	o.Remember = func(r Refusal) { remembered <- r }
	r := mustSync(t, a, b, o)
	if !slices.Equal(b.ids(), []string{deletion.ID}) || r.HeldBack != 3 || r.Left != 3 || r.Refusals[0].Cause != ByRules ||
		len(remembered) != 3 {
		t.Errorf("%v, %+v, %d remembered", b.ids(), r, len(remembered))
	}
	a, b = newFake(), newFake(list...)
	if mustSync(t, a, b, options(Down)); !slices.Equal(a.ids(), union([]string{deletion.ID, dm.ID})) {
		t.Error("a direct message is for its recipient's relay, a protected and an expired event for nobody's")
	}
	o = options(Up)
	o.UploadPrivate = true
	a, b = newFake(list...), newFake()
	if mustSync(t, a, b, o); !slices.Equal(b.ids(), union([]string{deletion.ID, dm.ID})) {
		t.Errorf("%v", b.ids())
	}
}

// A slow writer slows the comparison: what waits stays bounded.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := notes(0, 3*highWater)
		a, b := newFake(list...), newFake()
		a.frame = negentropy.DefaultMessageLimit
		begun := time.Now()
		b.write = func(ctx context.Context) error { // the first ones hang until all else waits for them
			return sleep(ctx, time.Until(begun.Add(20*time.Second)))
		}
		waiting := 0
		o := options(Up)
		o.Progress = func(f Figures) {
			if f.ToB == 0 {
				waiting = f.OnlyA
			}
		}
		r := mustSync(t, a, b, o)
		if len(b.events) != len(list) || r.ToB != len(list) {
			t.Errorf("%d of %d, %+v", len(b.events), len(list), r)
		}
		if waiting < highWater || waiting > highWater+5000 {
			t.Errorf("%d ids are found while none is written", waiting)
		}
	})
}

func TestFailuresEndTheSync(t *testing.T) {
	for name, set := range map[string]func(a, b *fake){
		"write":   func(_, b *fake) { b.write = func(context.Context) error { return errBroken } },
		"session": func(_, b *fake) { b.respond = func([]byte) ([]byte, error) { return nil, errBroken } },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newFake(notes(0, 1000)...), newFake(notes(5000, 1000)...)
			set(a, b)
			if r, err := Sync(t.Context(), a.side("a"), b.side("b"), nostr.Filter{}, options(Both)); !errors.Is(err, errBroken) || r.Complete {
				t.Errorf("%v, %+v", err, r)
			}
		})
	}
}

func TestContextEndsTheSync(t *testing.T) {
	a, b := newFake(notes(0, 100)...), newFake()
	ctx, cancel := context.WithCancel(t.Context())
	b.write = func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() }
	if _, err := Sync(ctx, a.side("a"), b.side("b"), nostr.Filter{}, options(Up)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestALimitIsRefused(t *testing.T) {
	if _, err := Sync(t.Context(), newFake().side("a"), newFake().side("b"), nostr.Filter{Limit: 5}, options(Up)); err == nil {
		t.Error("no error")
	}
}

// Events that arrive all the time do not keep a sync from being proved.
func TestBusyRelaysAreProved(t *testing.T) {
	list := notes(0, 100)
	a, b := newFake(list...), newFake(list[:90]...)
	n := 0
	o := options(Both)
	o.Progress = func(f Figures) {
		for ; n < f.Messages; n++ { // between any two messages, somebody writes to a
			e := note(1_000_000+n, today+1001+int64(n%500))
			a.mu.Lock()
			a.events[e.ID] = e
			a.mu.Unlock()
		}
	}
	r := mustSync(t, a, b, o)
	if !r.Complete || r.Left != 0 || r.Passes > provedToStart+4 {
		t.Errorf("%+v", r)
	}
}

// What one sync of a group has read, the others do not ask for.
func TestACacheIsReadFirst(t *testing.T) {
	all := notes(0, 250)
	a, b, c := newFake(), newFake(all...), newFake()
	o := options(Both)
	o.Cache = &Cache{}
	mustSync(t, a, b, o)
	a.query = func(_ context.Context, f nostr.Filter) iter.Seq2[nostr.Event, error] {
		return func(yield func(nostr.Event, error) bool) {
			if len(f.IDs) > 0 {
				t.Error("asked for ids again")
			}
		}
	}
	if r := mustSync(t, a, c, o); !r.Complete || r.ToB != 250 || r.EventBytes > 250*400/10 {
		t.Errorf("%+v", r)
	}
	o.Cache = nil
	if r := mustSync(t, newFake(all...), newFake(), o); r.ToB != 250 || r.EventBytes < 250*300 {
		t.Errorf("%+v", r)
	}
}
