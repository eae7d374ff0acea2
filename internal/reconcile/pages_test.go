package reconcile

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// aSecondEach are n events, one a second, oldest first.
func aSecondEach(n int) []nostr.Event {
	all := make([]nostr.Event, n)
	for i := range all {
		all[i] = note(i, today-100_000+int64(i))
	}
	return all
}

// A relay may answer a limit with its oldest events.
func TestARelayThatSendsTheOldestFirstIsListedWhole(t *testing.T) {
	for _, c := range []struct{ n, page int }{{1200, 0}, {1200, 100}, {501, 0}, {3, 1}} {
		all := aSecondEach(c.n)
		a, b := newFake(all[c.n/2:]...), newFake(all[:c.n/2+1]...)
		b.no77, b.page, b.order = true, c.page, slices.Reverse
		r := mustSync(t, a, b, options(Both))
		if !r.Complete || r.Left > 0 || len(a.events) != c.n || len(b.events) != c.n {
			t.Errorf("%+v: a has %d, b has %d, %+v", c, len(a.events), len(b.events), r)
		}
		if least := int64((c.n/2 + 1) * 320); r.EventBytes < least {
			t.Errorf("%+v: %d bytes of events, want %d at least: the pages count", c, r.EventBytes, least)
		}
	}
}

// Of a relay that repeats its page whatever the until, what that has is synced, and
// nothing else is proved, refused or remembered. What it is given can be asked for.
func TestARelayThatHeedsNoUntilIsNotProved(t *testing.T) {
	for _, d := range []Direction{Down, Up, Both} {
		all := aSecondEach(1300)
		a, b := newFake(all[800:]...), newFake(all[:1200]...)
		b.no77, b.page, b.deaf = true, 500, func(f *nostr.Filter) { f.Until = 0 }
		o := options(d)
		o.Remember = func(r Refusal) { t.Errorf("%v: remembered: %v", d, r) }
		r := mustSync(t, a, b, o)
		if r.Complete != (d == Up) || strings.Contains(r.Why, "whatever until says") == r.Complete || r.Left != 0 || r.Refused != 0 {
			t.Errorf("%v: %+v", d, r)
		}
		if d != Up && len(a.events) < 580 || d != Down && len(b.events) != 1300 {
			t.Errorf("%v: a has %d, b has %d", d, len(a.events), len(b.events))
		}
	}
}

// One that compares dates by < and > leaves the rest of a second out where a page begins,
// and in the last pass the second where that begins.
func TestARelayThatLeavesOutItsBoundsIsListedWhole(t *testing.T) {
	all := make([]nostr.Event, 700)
	for i := range all {
		all[i] = note(i, today-100_000+int64(i/7))
	}
	for _, d := range []Direction{Down, Up, Both} {
		a, b := newFake(all[400:]...), newFake(all[:500]...)
		b.no77, b.page, b.deaf = true, 100, exclusive
		r := mustSync(t, a, b, options(d))
		if !r.Complete || r.OnlyA != 200 || r.OnlyB != 400 || d != Up && len(a.events) != 700 || d != Down && len(b.events) != 700 {
			t.Errorf("%v: a has %d, b has %d, %+v", d, len(a.events), len(b.events), r)
		}
	}
}

// One that heeds no since is read to the end of what is asked for.
func TestARelayThatHeedsNoSinceIsSynced(t *testing.T) {
	all := aSecondEach(1200)
	a, b := newFake(), newFake(all...)
	b.no77, b.page, b.deaf = true, 500, func(f *nostr.Filter) { f.Since = 0 }
	r, err := Sync(t.Context(), a.side("a"), b.side("b"), nostr.Filter{Since: all[500].CreatedAt}, options(Down))
	if err != nil || !r.Complete || len(a.events) != 700 {
		t.Errorf("%v, a has %d, %+v", err, len(a.events), r)
	}
}

// No relay is asked for more events than it says that it gives.
func TestPagesKeepToTheRelaysLimit(t *testing.T) {
	for _, page := range []int{1, 7, 300, 5000} {
		n := min(3*page, 1000)
		a, b := newFake(notes(0, n)...), newFake(notes(n/2, n)...)
		for _, f := range []*fake{a, b} {
			f.no77, f.takes = true, Limits{Page: page}
		}
		want := union(a.ids(), b.ids())
		r := mustSync(t, a, b, options(Both))
		if !slices.Equal(a.ids(), want) || !slices.Equal(b.ids(), want) || !r.Complete && page > 7 {
			t.Errorf("max_limit %d: a has %d, b has %d of %d, %+v", page, len(a.events), len(b.events), len(want), r)
		}
	}
}

// The first second of time can be full like any other, and nothing that was
// written is said to be lost.
func TestTheFirstSecondsOfTimeAreFull(t *testing.T) {
	for _, at := range []int64{0, 1, 2, today} {
		var all []nostr.Event
		for i := range 700 {
			all = append(all, note(i, at))
		}
		a, b := newFake(), newFake(all...)
		a.no77, b.no77 = true, true
		r := mustSync(t, a, b, options(Down))
		if r.Complete || r.Left > 0 || !strings.Contains(r.Why, "one second") {
			t.Errorf("second %d: %+v", at, r)
		}
	}
}

// What a page cannot show of a second is not called missing after the relay has
// confirmed it, and is not remembered as refused: it is asked for. What does not come
// then was not kept.
func TestWhatAPageHidesIsAskedFor(t *testing.T) {
	var list []nostr.Event
	for i := range 2100 {
		list = append(list, note(i, today-100_000-int64(i/700)))
	}
	for _, lost := range []int{0, 1} {
		a, b := newFake(list...), newFake(list[:100]...)
		b.no77, b.page = true, 500
		gone := map[string]bool{}
		for _, e := range list[len(list)-lost:] {
			gone[e.ID] = true
		}
		b.drops = func(e *nostr.Event) bool { return gone[e.ID] }
		o, remembered := options(Up), map[string]bool{}
		o.Remember = func(r Refusal) { remembered[r.ID.String()] = true }
		r := mustSync(t, a, b, o)
		if len(b.events) != len(list)-lost || !r.Complete || r.Why != "" || r.Left != lost || r.Refused != lost || r.Passes > 6 {
			t.Errorf("%d lost: b has %d; %v", lost, len(b.events), r.Figures)
		}
		if !maps.Equal(remembered, gone) {
			t.Errorf("%d lost: %d are remembered", lost, len(remembered))
		}
	}
	// A source has more than it shows.
	a, b := newFake(), newFake(list...)
	b.no77, b.page = true, 500
	if r := mustSync(t, a, b, options(Down)); r.Complete || !strings.Contains(r.Why, "one second") || r.Left != 0 {
		t.Errorf("%v, %s", r.Figures, r.Why)
	}
}

// Between the events of a page in no order there may be others, and no REQ brings
// them.
func TestARelayInNoOrderIsNotProved(t *testing.T) {
	a, b := newFake(), newFake(notes(0, 1200)...)
	b.no77, b.order = true, func(list []nostr.Event) {
		r := rand.New(rand.NewPCG(1, 2))
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	if r := mustSync(t, a, b, options(Down)); r.Complete || !strings.Contains(r.Why, "no order") {
		t.Errorf("%+v", r)
	}
}

// No list asks the same as the one before it, for a relay may answer from memory;
// nor more than the relay gives.
func TestTheNextListAsksSomethingElse(t *testing.T) {
	for _, size := range []int{1, 2, 3, 9, 10, 19, 20, 100, 500} {
		l := &session{takes: Limits{Page: size}}
		before := 0
		for n := range 50 {
			limit := l.nextLimit()
			if limit < 1 || limit > size || limit == before && size > 1 {
				t.Errorf("pages of %d, list %d: limit %d after %d", size, n, limit, before)
			}
			before = limit
		}
	}
}

// A round number of events of one second is all there is, or as many as the relay sends
// at once: where its word or another page tells, it is proved.
func TestARoundNumberOfOneSecondIsProvedWhereItCanBe(t *testing.T) {
	refused := func(ctx context.Context, filter nostr.Filter) error {
		if filter.Kinds == nil && filter.IDs == nil {
			return NewQueryRefusal("restricted: name kinds")
		}
		return nil
	}
	for name, c := range map[string]struct {
		n, others, page, states int
		refuses                 func(context.Context, nostr.Filter) error
		told                    string
	}{
		"nothing is known":              {100, 0, 0, 0, nil, "sends 100 events of one second, which may be all"},
		"it states a larger limit":      {50, 0, 0, 500, nil, ""},
		"and states a much larger one":  {700, 0, 0, 5000, nil, ""},
		"it shows more of others":       {50, 10, 0, 0, nil, ""},
		"it cuts there":                 {70, 10, 50, 0, nil, "no more than a page"},
		"it cuts there, and states 500": {70, 10, 50, 500, nil, "no more than a page"},
		"and does not answer that":      {50, 10, 0, 0, refused, "sends 50 events of one second, which may be all"},
	} {
		var all []nostr.Event
		for i := range c.n + c.others {
			e := note(i, today-100_000)
			if i >= c.n {
				e.Kind, e.CreatedAt = 7, e.CreatedAt+int64(i)
			}
			all = append(all, e)
		}
		a, b := newFake(), newFake(all...)
		b.no77, b.page, b.takes, b.refuses = true, c.page, Limits{Page: c.states}, c.refuses
		r, err := Sync(t.Context(), a.side("a"), b.side("b"), nostr.Filter{Kinds: []int{1}}, options(Down))
		want := c.n
		if c.page > 0 {
			want = c.page
		}
		if err != nil || r.Complete != (c.told == "") || !strings.Contains(r.Why, c.told) || len(a.events) != want {
			t.Errorf("%s: %v, a has %d; %q, %v", name, err, len(a.events), r.Why, r.Figures)
		}
	}
}

// What a relay without NIP-77 has is read once, however much of it comes: its pages are the largest part of what it
// is asked for.
func TestAListedRelayIsReadOnce(t *testing.T) {
	const n, page = 1000, 100
	a, b := newFake(), newFake(aSecondEach(n)...)
	pages := 0
	b.no77, b.page, b.deaf = true, page, func(f *nostr.Filter) {
		if len(f.IDs) == 0 {
			pages++
		}
	}
	r := mustSync(t, a, b, options(Down))
	if !r.Complete || len(a.events) != n {
		t.Fatalf("a has %d, %+v", len(a.events), r)
	}
	if pages > n/page*3/2 {
		t.Errorf("read in %d pages of %d events, of %d", pages, page, n)
	}
}

// Where a relay is asked for so many pages at a time, each sync goes on where the one before ended, and has
// compared what it listed.
func TestASyncThatHadEnoughGoesOn(t *testing.T) {
	errEnough := errors.New("enough for now")
	for name, c := range map[string]struct {
		each, page int // events of a second, and of a page
		most       int // questions, of which the last is answered by no
		syncs      int // at most
		change     func(*fake)
	}{
		"page by page":         {1, 100, 3, 9, func(f *fake) { f.no77 = true }},
		"many of a second":     {40, 100, 3, 12, func(f *fake) { f.no77 = true }},
		"nearly a page of one": {90, 100, 3, 12, func(f *fake) { f.no77 = true }},
		"without its bounds":   {7, 100, 3, 16, func(f *fake) { f.no77, f.deaf = true, exclusive }},
		"the oldest first":     {1, 100, 3, 1, func(f *fake) { f.no77, f.order = true, slices.Reverse[[]nostr.Event] }},
		"interrupted":          {1, 100, 3, 10, func(f *fake) { f.no77, f.cut = true, now(250) }},
	} {
		t.Run(name, func(t *testing.T) {
			all := make([]nostr.Event, 1500)
			for i := range all {
				all[i] = note(i, today-100_000+int64(i/c.each))
			}
			a, b := newFake(all[:200]...), newFake(all...)
			b.page = c.page
			c.change(b)
			o, asked := options(Down), 0
			o.Enough = func() error {
				if asked++; asked >= c.most {
					return errEnough
				}
				return nil
			}
			filter, n := nostr.Filter{}, 1
			for ; ; n++ {
				asked = 0
				r, err := Sync(t.Context(), a.side("a"), b.side("b"), filter, o)
				if err == nil {
					if !r.Complete || r.Settled != 0 {
						t.Errorf("%+v", r)
					}
					break
				}
				if !errors.Is(err, errEnough) || r.Settled == 0 || filter.Until != 0 && r.Settled > filter.Until || n > 50 {
					t.Fatalf("sync %d, until %d: settled from %d on, %v", n, filter.Until, r.Settled, err)
				}
				for _, e := range all {
					if _, ok := a.events[e.ID]; !ok && e.CreatedAt >= r.Settled {
						t.Fatalf("sync %d: settled from %d on, without an event of %d", n, r.Settled, e.CreatedAt)
					}
				}
				filter.Until = r.Settled - 1
			}
			if len(a.events) != len(all) || n > c.syncs || c.syncs > 1 && n == 1 {
				t.Errorf("%d events of %d in %d syncs", len(a.events), len(all), n)
			}
		})
	}
}

// exclusive makes of a filter that of a relay that compares dates by < and >.
func exclusive(f *nostr.Filter) {
	if f.Since++; f.Until != 0 {
		f.Until--
	}
}

// now is true the one time, after so many calls.
func now(after int) func() bool {
	n := 0
	return func() bool { n++; return n == after }
}
