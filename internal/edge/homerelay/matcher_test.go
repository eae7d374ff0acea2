package homerelay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// tangledFilter asks for a few of the few values that tangledEvent has.
func tangledFilter(r *rand.Rand) nostr.Filter {
	list := func() []string {
		values := make([]string, r.IntN(4)) // none is a filter that matches nothing
		for i := range values {
			values[i] = strconv.Itoa(r.IntN(8))
		}
		return values
	}
	var f nostr.Filter
	if r.IntN(4) == 0 {
		f.IDs = list()
	}
	if r.IntN(3) == 0 {
		f.Authors = list()
	}
	if r.IntN(2) == 0 {
		f.Kinds = []int{r.IntN(3), r.IntN(3)}
	}
	for _, name := range []string{"e", "p", "\x01"} {
		if r.IntN(3) == 0 {
			if f.Tags == nil {
				f.Tags = map[string][]string{}
			}
			f.Tags[name] = list()
		}
	}
	if r.IntN(4) == 0 {
		f.Since, f.Until = int64(r.IntN(5)), int64(r.IntN(9)-1)
	}
	return f
}

func tangledEvent(r *rand.Rand) *nostr.Event {
	e := &nostr.Event{ID: strconv.Itoa(r.IntN(8)), PubKey: strconv.Itoa(r.IntN(8)), Kind: r.IntN(3), CreatedAt: int64(r.IntN(8))}
	for range r.IntN(6) {
		tag := nostr.Tag{[]string{"e", "p", "\x01", "long", ""}[r.IntN(5)]}
		for range r.IntN(3) {
			tag = append(tag, strconv.Itoa(r.IntN(8)))
		}
		e.Tags = append(e.Tags, tag)
	}
	return e
}

// The matcher finds what looking at every filter finds, while subscriptions
// come and go.
func TestMatcherAgreesWithFilters(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := newMatcher()
	open := map[*subscription]bool{}
	found := 0
	for i := range 20_000 {
		sub := &subscription{id: strconv.Itoa(i), filters: make([]nostr.Filter, 1+r.IntN(3))}
		for j := range sub.filters {
			sub.filters[j] = tangledFilter(r)
		}
		m.add(sub)
		open[sub] = true
		for old := range open {
			if len(open) <= 40 {
				break
			}
			m.remove(old)
			delete(open, old)
		}
		e := tangledEvent(r)
		var want, got []string
		for sub := range open {
			if slices.ContainsFunc(sub.filters, func(f nostr.Filter) bool { return f.Match(e) }) {
				want = append(want, sub.id)
			}
		}
		for _, sub := range m.match(e) {
			got = append(got, sub.id)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("%+v: got %v, want %v", e, got, want)
		}
		found += len(got)
	}
	if found < 10_000 {
		t.Errorf("only %d matches: the test sees little", found)
	}
	for sub := range open {
		m.remove(sub)
	}
	if len(m.one)+len(m.many)+len(m.every) != 0 {
		t.Errorf("%d, %d and %d filters are left", len(m.one), len(m.many), len(m.every))
	}
}

// An event costs as much as it meets, whatever others ask for.
func BenchmarkMatch(b *testing.B) {
	for _, subs := range []int{100, 10_000} {
		b.Run(strconv.Itoa(subs), func(b *testing.B) {
			m := newMatcher()
			for i := range subs {
				f := nostr.Filter{Authors: make([]string, 100)}
				for j := range f.Authors {
					f.Authors[j] = fmt.Sprintf("%064d", i*100+j)
				}
				m.add(&subscription{filters: []nostr.Filter{f}})
			}
			e := &nostr.Event{PubKey: fmt.Sprintf("%064d", 5), Tags: []nostr.Tag{{"e", "x"}, {"p", "y"}}}
			for b.Loop() {
				if len(m.match(e)) != 1 {
					b.Fatal("not found")
				}
			}
		})
	}
}
