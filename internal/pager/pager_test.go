package pager

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// relay gives the first events that match, at most so many at once.
type relay struct {
	cap    int
	events []nostr.Event
	deaf   func(*nostr.Filter) // makes of a filter the one that is heeded

	states  int                     // max_limit of NIP-11
	refuses func(nostr.Filter) bool // does not answer an extra page
}

func (r relay) page(f nostr.Filter) (page []nostr.Event) {
	if r.deaf != nil {
		r.deaf(&f)
	}
	for _, e := range r.events {
		if f.Match(&e) && len(page) < r.cap && (f.Limit == 0 || len(page) < f.Limit) {
			page = append(page, e)
		}
	}
	return page
}

// stored are events of these seconds, newest first.
func stored(seconds ...int64) (out []nostr.Event) {
	for i, at := range seconds {
		out = append(out, nostr.Event{ID: strconv.Itoa(i), CreatedAt: at})
	}
	slices.SortFunc(out, func(a, b nostr.Event) int { return cmp.Compare(b.CreatedAt, a.CreatedAt) })
	return out
}

// walk returns how often each event was fresh.
func walk(t *testing.T, r relay, f nostr.Filter) (seen map[string]int, p *Pager) {
	t.Helper()
	seen, p = map[string]int{}, &Pager{Filter: f, Most: r.states}
	for range 1000 {
		asked, extra := p.Request(), p.Extra()
		page := r.page(asked)
		if extra && r.refuses != nil && r.refuses(asked) {
			if _, more := p.Refused(); !more {
				return seen, p
			}
			continue
		}
		for _, e := range page {
			if !asked.Match(&e) {
				p.Stray(e.CreatedAt)
			} else if p.Add(&e) {
				seen[e.ID]++
			}
		}
		oldest, more := p.Next(false)
		if len(page) > 0 && r.deaf == nil && !p.Up && !extra && oldest != max(1, min(page[0].CreatedAt, page[len(page)-1].CreatedAt)) {
			t.Errorf("the page is of the seconds %d to %d, its oldest is said to be %d", page[0].CreatedAt, page[len(page)-1].CreatedAt, oldest)
		}
		if !more {
			return seen, p
		}
	}
	t.Fatal("the walk does not end")
	return nil, nil
}

func TestEveryEventComesOnceWhateverThePages(t *testing.T) {
	all := stored(9, 9, 9, 8, 7, 7, 7, 7, 3, 2, 1)
	for size := 5; size < 13; size++ { // a page holds the fullest second, and more
		seen, p := walk(t, relay{cap: size, events: all}, nostr.Filter{})
		for _, e := range all {
			if seen[e.ID] != 1 {
				t.Errorf("pages of %d: event %s of second %d came %d times", size, e.ID, e.CreatedAt, seen[e.ID])
			}
		}
		if p.Capped {
			t.Errorf("pages of %d: it takes a second for cut", size)
		}
	}
}

func TestAWalkEndsAtItsBounds(t *testing.T) {
	all := stored(9, 8, 7, 6, 5, 4)
	seen, _ := walk(t, relay{cap: 2, events: all}, nostr.Filter{Since: 5, Until: 8})
	for _, e := range all {
		if want := e.CreatedAt >= 5 && e.CreatedAt <= 8; (seen[e.ID] == 1) != want {
			t.Errorf("second %d: %d times, want it %t", e.CreatedAt, seen[e.ID], want)
		}
	}
}

func TestASecondBeyondAPageIsSteppedOverAndTold(t *testing.T) {
	seconds := append(slices.Repeat([]int64{7}, 70), 6, 5)
	for _, c := range []struct{ size, limit int }{{50, 0}, {30, 30}} {
		seen, p := walk(t, relay{cap: c.size, events: stored(seconds...)}, nostr.Filter{Limit: c.limit})
		if len(seen) != c.size+2 || !p.Capped {
			t.Errorf("%+v: %d events, capped %t", c, len(seen), p.Capped)
		}
	}
}

// Relays cut at one number: a page of fifty is not cut where another had more.
func TestARoundNumberIsNoCapBesideALargerPage(t *testing.T) {
	seconds := slices.Repeat([]int64{7}, 50)
	for at := range int64(60) {
		seconds = append(seconds, 100+at)
	}
	for size, want := range map[int]bool{50: true, 70: false, 500: false} {
		if _, p := walk(t, relay{cap: size, events: stored(seconds...)}, nostr.Filter{Limit: 484}); p.Capped != want {
			t.Errorf("pages of %d: capped %t", size, p.Capped)
		}
	}
}

func TestACutPageIsAskedForAgain(t *testing.T) {
	var p Pager
	e := nostr.Event{ID: "a", CreatedAt: 5}
	for n := range 4 {
		if fresh := p.Add(&e); fresh != (n == 0) {
			t.Errorf("page %d: fresh %t", n, fresh)
		}
		if _, more := p.Next(true); !more || p.Filter.Until != 5 || p.Stalled != n {
			t.Errorf("page %d: more %t, until %d, stalled %d", n, more, p.Filter.Until, p.Stalled)
		}
	}
	p.Add(&nostr.Event{ID: "b", CreatedAt: 5})
	if p.Next(true); p.Stalled != 0 {
		t.Error("what brings something new is stalled")
	}
}

// oldestFirst is how some relays answer, whatever NIP-01 says.
func oldestFirst(all []nostr.Event) []nostr.Event {
	all = slices.Clone(all)
	slices.Reverse(all)
	return all
}

func TestARelayThatSendsTheOldestFirstIsWalkedUp(t *testing.T) {
	all := stored(99, 9, 9, 9, 8, 7, 7, 7, 7, 3, 2, 1, 0)
	for size := 5; size < 15; size++ {
		for _, f := range []nostr.Filter{{}, {Since: 2, Until: 9}, {Limit: size}, {Since: 7}, {Until: 8, Limit: 300}} {
			seen, p := walk(t, relay{cap: size, events: oldestFirst(all)}, f)
			for _, e := range all {
				if want := f.Match(&e); (seen[e.ID] == 1) != want || seen[e.ID] > 1 {
					t.Errorf("pages of %d, %+v: event of second %d came %d times, matches: %t", size, f, e.CreatedAt, seen[e.ID], want)
				}
			}
			if p.Unreached() != "" {
				t.Errorf("pages of %d, %+v: it %s", size, f, p.Unreached())
			}
		}
	}
}

// The newest are on the page, but in the other order.
func TestAPageOfTheNewestMayAscend(t *testing.T) {
	all := stored(9, 8, 7, 6, 5, 4, 3)
	p, seen := Pager{Filter: nostr.Filter{Limit: 3}}, 0
	for more := true; more; _, more = p.Next(false) {
		for _, e := range oldestFirst(relay{cap: 3, events: all}.page(p.Filter)) {
			if p.Add(&e) {
				seen++
			}
		}
	}
	if seen != len(all) || p.Unreached() != "" {
		t.Errorf("%d events of %d, it %q", seen, len(all), p.Unreached())
	}
}

func TestADenseSecondIsToldInEitherOrder(t *testing.T) {
	for name, seconds := range map[string][]int64{
		"at 0": slices.Repeat([]int64{0}, 70), "at 1": append(slices.Repeat([]int64{1}, 70), 9),
		"over 0": append(slices.Repeat([]int64{5}, 70), 0), "all there is": slices.Repeat([]int64{9}, 70),
	} {
		all := stored(seconds...)
		for _, events := range [][]nostr.Event{all, oldestFirst(all)} {
			if _, p := walk(t, relay{cap: 30, events: events}, nostr.Filter{Limit: 30}); !p.Capped {
				t.Errorf("%s: not told", name)
			}
			seen, p := walk(t, relay{cap: 99, events: events}, nostr.Filter{Limit: 99})
			if len(seen) != len(all) || p.Capped {
				t.Errorf("%s: %d events of %d, capped %t", name, len(seen), len(all), p.Capped)
			}
		}
	}
}

func TestSecond0AloneIsOnePage(t *testing.T) {
	p, seen := Pager{Filter: nostr.Filter{Until: -1, Limit: 2}}, 0
	for _, e := range (relay{cap: 2, events: stored(2, 1, 0, 0, 0)}).page(p.Filter) {
		if p.Add(&e) {
			seen++
		}
	}
	if _, more := p.Next(false); more || seen != 2 || !p.Capped {
		t.Errorf("%d events, capped %t, more %t", seen, p.Capped, more)
	}
}

func TestAPageInNoOrderIsTold(t *testing.T) {
	jumble := []int64{5, 9, 1, 8, 2, 7, 3, 6}
	for name, c := range map[string]struct {
		seconds []int64
		limit   int
		want    bool
	}{
		"a jumble":              {jumble, 8, true},
		"all there is":          {jumble, 100, false},
		"two stores":            {[]int64{9, 8, 7, 6, 9, 5, 2, 1}, 4, true},
		"each twice":            {[]int64{9, 8, 7, 6, 9, 8, 7, 6}, 4, false},
		"one arrived meanwhile": {[]int64{9, 8, 7, 6, 99, 5, 4, 3, 2, 1}, 10, false},
	} {
		p := Pager{Filter: nostr.Filter{Limit: c.limit}}
		for i, at := range c.seconds {
			id := strconv.Itoa(i)
			if name == "each twice" {
				id = strconv.Itoa(int(at))
			}
			p.Add(&nostr.Event{ID: id, CreatedAt: at})
		}
		if p.Next(false); p.Unordered != c.want || (p.Unreached() != "") != c.want {
			t.Errorf("%s: unordered %t", name, p.Unordered)
		}
	}
}

func TestAnEventIsFreshOnceOnAPage(t *testing.T) {
	var p Pager
	e := nostr.Event{ID: "a", CreatedAt: 5}
	if !p.Add(&e) || p.Add(&e) {
		t.Error("an event that comes twice is fresh twice, or never")
	}
}

// Some relays heed no until, or no since.
func TestAPageThatRepeatsIsTold(t *testing.T) {
	noUntil, noSince := func(f *nostr.Filter) { f.Until = 0 }, func(f *nostr.Filter) { f.Since = 0 }
	neither := func(f *nostr.Filter) { f.Since, f.Until = 0, 0 }
	var seconds []int64
	for at := range int64(120) {
		seconds = append(seconds, 1000+at)
	}
	all := stored(seconds...)
	for name, c := range map[string]struct {
		events  []nostr.Event
		deaf    func(*nostr.Filter)
		filter  nostr.Filter
		cap     int
		reached int
		told    string
	}{
		"no until":                           {all, noUntil, nostr.Filter{Limit: 50}, 50, 50, "whatever until"},
		"no until, a cap below the limit":    {all, noUntil, nostr.Filter{Limit: 500}, 50, 50, "whatever until"},
		"no until, none is of the period":    {all, noUntil, nostr.Filter{Limit: 50, Until: 1010}, 50, 0, "whatever until"},
		"no until, all is on a page":         {all, noUntil, nostr.Filter{Limit: 500}, 500, 120, ""},
		"no until, all since then on a page": {all, noUntil, nostr.Filter{Limit: 50, Since: 1100}, 50, 20, ""},
		"no since":                           {all, noSince, nostr.Filter{Limit: 50, Since: 1040}, 50, 80, ""},
		"no since, none is of the period":    {all, noSince, nostr.Filter{Limit: 50, Since: 2000}, 50, 0, ""},
		"the oldest first, no until":         {oldestFirst(all), noUntil, nostr.Filter{Limit: 50}, 50, 120, ""},
		"the oldest first, no since":         {oldestFirst(all), noSince, nostr.Filter{Limit: 50}, 50, 50, "whatever since"},
		"the oldest first, neither":          {oldestFirst(all), neither, nostr.Filter{Limit: 50}, 50, 50, "whatever since"},
	} {
		seen, p := walk(t, relay{cap: c.cap, events: c.events, deaf: c.deaf}, c.filter)
		if len(seen) != c.reached || (p.Unreached() != "") != (c.told != "") || !strings.Contains(p.Unreached(), c.told) {
			t.Errorf("%s: %d events, want %d; it %q, want %q", name, len(seen), c.reached, p.Unreached(), c.told)
		}
	}
}
