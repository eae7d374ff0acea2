package reconcile

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func sampling(d Direction) Options {
	o := options(d)
	o.Sample = 20
	return o
}

// less is a set without every nth event.
func less(set []nostr.Event, nth int) []nostr.Event {
	return slices.DeleteFunc(slices.Clone(set), func(e nostr.Event) bool { return e.CreatedAt/86_400%int64(nth) == 0 })
}

// A relay that hides ids in sessions and shows them by REQ is found out before it is
// written to, whichever sessions it hides them in, and its events arrive all the same.
func TestIdsThatSessionsHide(t *testing.T) {
	for name, lists := range map[string]func(int, nostr.Filter, []nostr.Event) []nostr.Event{
		"always":      func(_ int, _ nostr.Filter, set []nostr.Event) []nostr.Event { return less(set, 3) },
		"all of them": func(_ int, _ nostr.Filter, set []nostr.Event) []nostr.Event { return nil },
		"but not about ids": func(_ int, f nostr.Filter, set []nostr.Event) []nostr.Event {
			if len(f.IDs) > 0 {
				return set
			}
			return less(set, 3)
		},
		"others in each": func(n int, _ nostr.Filter, set []nostr.Event) []nostr.Event { return less(set, 2+n%3) },
	} {
		for _, d := range []Direction{Up, Down, Both} {
			for _, common := range []int{500, 30} {
				synctest.Test(t, func(t *testing.T) {
					shared := notes(0, common)
					a, b := newFake(slices.Concat(shared, notes(10_000, 5))...), newFake(slices.Concat(shared, notes(20_000, 300))...)
					has := newFake(slices.Concat(shared, notes(20_000, 300))...)
					b.lists = lists
					r := mustSync(t, a, b, sampling(d))
					for id := range has.events {
						if d&Down != 0 && a.events[id].ID == "" {
							t.Errorf("%s, %d, %d: an event does not arrive: %+v", name, d, common, r)
							break
						}
						if b.offered[id] > 0 {
							t.Errorf("%s, %d, %d: what it has is written to it: %+v", name, d, common, r)
							break
						}
					}
					if !r.Complete || r.Left > 0 || r.Doubts[0].Some() {
						t.Errorf("%s, %d, %d: %+v", name, d, common, r)
					}
					if name != "others in each" && r.Doubts[1].Hidden == 0 || r.Doubts[1].Loses {
						t.Errorf("%s, %d, %d: no doubt: %+v", name, d, common, r)
					}
				})
			}
		}
	}
}

// A relay whose sessions list what the other one has, and that has nothing, is not
// believed. It says OK to everything, then, and is written to no more.
func TestIdsThatAreListedAndNotThere(t *testing.T) {
	for _, d := range []Direction{Up, Both} {
		synctest.Test(t, func(t *testing.T) {
			a, b := newFake(notes(0, 3000)...), newFake()
			b.lists = func(_ int, f nostr.Filter, _ []nostr.Event) []nostr.Event { return a.matching(f) }
			b.drops = func(*nostr.Event) bool { return true }
			r := mustSync(t, a, b, sampling(d))
			if r.Doubts[1].Absent == 0 || !r.Doubts[1].Loses || r.Doubts[0].Some() || len(b.offered) > 6*idsPerRequest || r.Left != 3000 {
				t.Errorf("%d: %d were written, %+v", d, len(b.offered), r.Doubts)
			}
		})
	}
}

// A relay that says OK and stores nothing is written a few events only, whatever its
// sessions say.
func TestOKsThatAreNotMeant(t *testing.T) {
	for name, lists := range map[string]func(*fake) func(int, nostr.Filter, []nostr.Event) []nostr.Event{
		"honest sessions": func(*fake) func(int, nostr.Filter, []nostr.Event) []nostr.Event { return nil },
		"lists what it said OK to": func(a *fake) func(int, nostr.Filter, []nostr.Event) []nostr.Event {
			return func(n int, f nostr.Filter, set []nostr.Event) []nostr.Event {
				if n == 1 {
					return set
				}
				return a.matching(f)
			}
		},
	} {
		for _, own := range []int{3, 40, 3000} {
			synctest.Test(t, func(t *testing.T) {
				a, b := newFake(notes(0, own)...), newFake(notes(10_000, 20)...)
				b.lists, b.drops = lists(a), func(*nostr.Event) bool { return true }
				r := mustSync(t, a, b, sampling(Up))
				if !r.Doubts[1].Loses || r.Doubts[0].Some() || len(b.offered) > 6*idsPerRequest || r.Left == 0 {
					t.Errorf("%s, %d: %d were written, %+v, %d left", name, own, len(b.offered), r.Doubts, r.Left)
				}
				for id, n := range b.offered {
					if n > 1 {
						t.Errorf("%s, %d: %s was written %d times", name, own, id, n)
						break
					}
				}
			})
		}
	}
}

// Events that come while the relays are compared are no contradiction, however old
// they are; nor is an index that is a moment behind.
func TestHonestRelaysAreNotDoubted(t *testing.T) {
	for _, d := range []Direction{Up, Down, Both} {
		synctest.Test(t, func(t *testing.T) {
			shared, late := notes(0, 500), notes(20_000, 200)
			a, b := newFake(slices.Concat(shared, notes(10_000, 50), late)...), newFake(slices.Concat(shared, notes(30_000, 50))...)
			b.lists = func(n int, _ nostr.Filter, set []nostr.Event) []nostr.Event {
				b.mu.Lock()
				defer b.mu.Unlock()
				for _, e := range late { // somebody else writes them
					b.events[e.ID] = e
				}
				return set
			}
			r := mustSync(t, a, b, sampling(d))
			if !r.Complete || r.Left > 0 || r.Doubts != [2]Doubt{} {
				t.Errorf("%d: %+v", d, r)
			}
		})
	}
}

// A relay that cannot be asked for what it lists is not called complete.
func TestASampleThatIsRefused(t *testing.T) {
	a, b := newFake(notes(0, 50)...), newFake()
	b.lists = func(_ int, f nostr.Filter, _ []nostr.Event) []nostr.Event { return a.matching(f) }
	b.query = refusing("restricted: members only")
	if r := mustSync(t, a, b, sampling(Up)); r.Complete || !strings.Contains(r.Why, "members only") {
		t.Errorf("%+v", r)
	}
}

// What is kept back from a relay, or was refused by it, is not missed there.
func TestASampleOfWhatIsNotGiven(t *testing.T) {
	shared := notes(0, 40)
	for i := range shared {
		if i%2 == 0 {
			shared[i].Kind = 1059 // lists them, and delivers them to their parties only
		}
	}
	a, b := newFake(shared...), newFake(shared...)
	b.hides = func(id string) bool { return b.events[id].Kind == 1059 }
	a.events["x"] = nostr.Event{}
	delete(a.events, "x")
	if r := mustSync(t, a, b, sampling(Up)); !r.Complete || r.Doubts != [2]Doubt{} {
		t.Errorf("%+v", r)
	}
	b.hides, b.refuse = nil, func(*nostr.Event) string { return "blocked: no" }
	for _, e := range shared[20:] {
		delete(b.events, e.ID)
	}
	o := sampling(Up)
	o.Refused = func(to negentropy.Side, id negentropy.ID) bool { return to == negentropy.SideB && id.String() < "8" }
	if r := mustSync(t, a, b, o); !r.Complete || r.Doubts != [2]Doubt{} {
		t.Errorf("%+v", r)
	}
}

func TestDoubtsInWords(t *testing.T) {
	d := Doubt{Hidden: 3, Lost: 4, Loses: true}
	const want = "b delivers 3 or more events that its sessions do not list, and said OK to 4 or more events that it does not deliver " +
		"afterwards, and is not written to any more"
	if got := d.Sentence("b"); got != want || !d.Some() || !d.Unlisted() || (Doubt{}).Some() {
		t.Error(got)
	}
}

func refusing(words string) func(context.Context, nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(context.Context, nostr.Filter) iter.Seq2[nostr.Event, error] {
		return func(yield func(nostr.Event, error) bool) { yield(nostr.Event{}, NewRefusal(ParseReason(words))) }
	}
}
