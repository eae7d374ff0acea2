package pager

import (
	"cmp"
	"slices"
	"strconv"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// relay gives the newest events that match, at most so many at once.
type relay struct {
	cap    int
	events []nostr.Event
}

func (r relay) page(f nostr.Filter) (page []nostr.Event) {
	for _, e := range r.events {
		if f.Match(&e) && len(page) < r.cap {
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
	seen, p = map[string]int{}, New(f)
	for range 1000 {
		page := r.page(p.Filter())
		for _, e := range page {
			if p.Add(&e) {
				seen[e.ID]++
			}
		}
		oldest, more := p.Next(false)
		if len(page) > 0 && oldest != page[len(page)-1].CreatedAt {
			t.Errorf("the page's oldest second is %d, it says %d", page[len(page)-1].CreatedAt, oldest)
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
		seen, p := walk(t, relay{size, all}, nostr.Filter{})
		for _, e := range all {
			if seen[e.ID] != 1 {
				t.Errorf("pages of %d: event %s of second %d came %d times", size, e.ID, e.CreatedAt, seen[e.ID])
			}
		}
		if p.Capped() {
			t.Errorf("pages of %d: it takes a second for cut", size)
		}
	}
}

func TestAWalkEndsAtItsBounds(t *testing.T) {
	all := stored(9, 8, 7, 6, 5, 4)
	seen, _ := walk(t, relay{2, all}, nostr.Filter{Since: 5, Until: 8})
	for _, e := range all {
		if want := e.CreatedAt >= 5 && e.CreatedAt <= 8; (seen[e.ID] == 1) != want {
			t.Errorf("second %d: %d times, want it %t", e.CreatedAt, seen[e.ID], want)
		}
	}
}

func TestASecondBeyondAPageIsSteppedOverAndTold(t *testing.T) {
	seconds := append(slices.Repeat([]int64{7}, 70), 6, 5)
	for _, c := range []struct{ size, limit int }{{50, 0}, {30, 30}} {
		seen, p := walk(t, relay{c.size, stored(seconds...)}, nostr.Filter{Limit: c.limit})
		if len(seen) != c.size+2 || !p.Capped() {
			t.Errorf("%+v: %d events, capped %t", c, len(seen), p.Capped())
		}
	}
}

func TestACutPageIsAskedForAgain(t *testing.T) {
	p := New(nostr.Filter{})
	e := nostr.Event{ID: "a", CreatedAt: 5}
	for n := range 4 {
		if fresh := p.Add(&e); fresh != (n == 0) {
			t.Errorf("page %d: fresh %t", n, fresh)
		}
		if _, more := p.Next(true); !more || p.Filter().Until != 5 || p.Stalled() != n {
			t.Errorf("page %d: more %t, until %d, stalled %d", n, more, p.Filter().Until, p.Stalled())
		}
	}
	p.Add(&nostr.Event{ID: "b", CreatedAt: 5})
	if p.Next(true); p.Stalled() != 0 {
		t.Error("what brings something new is stalled")
	}
}
