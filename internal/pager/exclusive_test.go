package pager

import (
	"slices"
	"strconv"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// leavesOutUntil and its like answer as relays that compare by < and >.
func leavesOutUntil(f *nostr.Filter) {
	if f.Until != 0 {
		f.Until--
	}
}

func leavesOutSince(f *nostr.Filter) {
	if f.Since != 0 {
		f.Since++
	}
}

func leavesOutBoth(f *nostr.Filter) {
	leavesOutUntil(f)
	leavesOutSince(f)
}

// seconds are n of them, each with so many events.
func seconds(n, each int) (all []int64) {
	for at := range int64(n) {
		all = append(all, slices.Repeat([]int64{100 + at}, each)...)
	}
	return all
}

func TestARelayThatLeavesOutItsBoundsIsReadWhole(t *testing.T) {
	for name, leavesOut := range map[string]func(*nostr.Filter){"until": leavesOutUntil, "both": leavesOutBoth} {
		for each := 1; each < 9; each++ {
			for size := 10; size < 25; size++ {
				for _, f := range []nostr.Filter{{Limit: 500}, {Limit: size}, {Limit: size, Since: 103, Until: 126}, {Limit: size, Until: 126}} {
					if f.Limit == 500 && size == 10 {
						continue // a round number, of which it is asked whether it is a cap
					}
					all := stored(seconds(30, each)...)
					seen, p := walk(t, relay{cap: size, events: all, deaf: leavesOut}, f)
					var missing, twice int
					for _, e := range all {
						switch n := seen[e.ID]; {
						case n > 1:
							twice++
						case n == 0 && f.Match(&e) && (name == "until" || e.CreatedAt != f.Since || p.Exclusive):
							missing++
						case n == 1 && !f.Match(&e):
							t.Errorf("%s, %d of a second, pages of %d: second %d of %s", name, each, size, e.CreatedAt, nostr.Encode(f))
						}
					}
					if missing+twice > 0 || p.Unreached() != "" {
						t.Errorf("%s, %d of a second, pages of %d, %s: %d missing, %d twice, %q",
							name, each, size, nostr.Encode(f), missing, twice, p.Unreached())
					}
				}
			}
		}
	}
}

// The way up has its bound in since.
func TestARelayThatAscendsAndLeavesOutItsBoundsIsReadWhole(t *testing.T) {
	for each := 1; each < 6; each++ {
		all := oldestFirst(stored(seconds(30, each)...))
		seen, p := walk(t, relay{cap: 13, events: all, deaf: leavesOutBoth}, nostr.Filter{Limit: 500})
		for _, e := range all {
			if seen[e.ID] != 1 {
				t.Errorf("%d of a second: event %s of second %d came %d times", each, e.ID, e.CreatedAt, seen[e.ID])
			}
		}
		if p.Unreached() != "" {
			t.Errorf("%d of a second: %q", each, p.Unreached())
		}
	}
}

// What the next walk is told of the relay holds for its first page, too.
func TestARelayThatLeavesOutItsBoundsIsKnownAfterwards(t *testing.T) {
	r := relay{cap: 50, events: stored(seconds(5, 3)...), deaf: leavesOutBoth}
	p := &Pager{Filter: nostr.Filter{Limit: 50, Since: 101, Until: 103}, Exclusive: true}
	seen := map[string]bool{}
	for more := true; more; _, more = p.Next(false) {
		for _, e := range r.page(p.Request()) {
			if p.Add(&e) {
				seen[e.ID] = true
			}
		}
	}
	if len(seen) != 9 {
		t.Errorf("%d events of 9", len(seen))
	}
}

// An event that was deleted while its second was the bound is no sign of a relay that
// leaves its bounds out; and whatever it was taken for, everything comes.
func TestADeletionAtTheBoundHidesNothing(t *testing.T) {
	for dense := range 30 {
		t.Run(strconv.Itoa(dense), func(t *testing.T) {
			at := append(seconds(20, 1), slices.Repeat([]int64{115}, dense)...)
			r := relay{cap: 30, events: stored(at...)}
			p := &Pager{Filter: nostr.Filter{Limit: 5}}
			seen := map[string]bool{}
			deleted := ""
			for n, more := 0, true; more; n++ {
				if n == 100 {
					t.Fatal("the walk does not end")
				}
				for _, e := range r.page(p.Request()) {
					if p.Add(&e) {
						seen[e.ID] = true
					}
				}
				var last int64
				if last, more = p.Next(false); deleted == "" && last < 115 {
					r.events = slices.DeleteFunc(slices.Clone(r.events), func(e nostr.Event) bool {
						if e.CreatedAt == last {
							deleted = e.ID
						}
						return e.CreatedAt == last
					})
				}
			}
			for _, e := range r.events {
				if !seen[e.ID] && e.CreatedAt != 115 {
					t.Errorf("second %d has not come", e.CreatedAt)
				}
			}
			if p.Exclusive {
				t.Error("the relay is still taken for one that leaves its bounds out")
			}
		})
	}
}
