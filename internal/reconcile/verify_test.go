package reconcile

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// opens counts a relay's sessions: about ids, about all time, and about a part.
type opens struct {
	*fake

	ids, all, part int
}

func (o *opens) Open(ctx context.Context, filter nostr.Filter, first []byte) (Session, []byte, error) {
	switch {
	case len(filter.IDs) > 0:
		o.ids++
	case filter.Until == 0:
		o.all++
	default:
		o.part++
	}
	return o.fake.Open(ctx, filter, first)
}

// What was written is proved by its ids: no relay reads its whole set twice.
func TestLittleIsProvedByIDs(t *testing.T) {
	common := notes(0, 10_000)
	a, b := &opens{fake: newFake(append(notes(20_000, 700), common...)...)}, &opens{fake: newFake(append(notes(30_000, 1), common...)...)}
	r, err := Sync(t.Context(), Side{Relay: a, Name: "a"}, Side{Relay: b, Name: "b"}, nostr.Filter{}, options(Both))
	if err != nil || !r.Complete || r.ToA != 1 || r.ToB != 700 || len(a.events) != 10_701 || len(b.events) != 10_701 {
		t.Errorf("%v, %+v", err, r)
	}
	if a.all != 1 || b.all != 1 || a.ids != 1 || b.ids != 2 || a.part != 1 || b.part != 1 {
		t.Errorf("opened at a: %+v, at b: %+v", a, b)
	}
}

// Relays that find fault with a session about ids are compared again.
func TestWhatIDsDoNotProve(t *testing.T) {
	for name, change := range map[string]func(b *fake){
		"keeps nothing":      func(b *fake) { b.drops = func(e *nostr.Event) bool { return true } },
		"no ids in sessions": func(b *fake) { b.noIDs = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				common := notes(0, 1000)
				a, b := newFake(append(notes(2000, 20), common...)...), newFake(common...)
				change(b)
				r := mustSync(t, a, b, options(Up))
				if want := 1020 - len(b.events); !r.Complete || r.Left != want {
					t.Errorf("want %d left: %+v", want, r)
				}
			})
		})
	}
}

// Whatever both sides show is the same, but one shows the newest part only: the
// rest is found as soon as anything is transferred.
func TestWhatLiesBelowWhatIsShown(t *testing.T) {
	for _, own := range []int{1, 3, 30} {
		for _, frame := range []int{0, 4096} {
			t.Run(fmt.Sprintf("%d/%d", own, frame), func(t *testing.T) {
				all := make([]nostr.Event, 1000)
				for i := range all {
					all[i] = note(i, today-int64(i)*1000)
				}
				a, b := newFake(all[:100]...), newFake(all[own:]...)
				a.frame, b.newest = frame, 100-own
				if r := mustSync(t, a, b, options(Both)); !r.Complete || len(a.events) != 1000 || len(b.events) != 1000 {
					t.Errorf("a has %d, b has %d: %+v", len(a.events), len(b.events), r)
				}
			})
		}
	}
}

// What our rules hold back is counted once, wherever in the window it lies.
func TestWhatIsLeftIsCountedOnce(t *testing.T) {
	list := notes(0, 1000)
	slices.SortFunc(list, func(a, b nostr.Event) int { return int(a.CreatedAt - b.CreatedAt) })
	a, b := newFake(list...), newFake(list...)
	for i := 0; i < len(list); i += 50 { // the very oldest among them
		e := list[i]
		e.Tags = []nostr.Tag{{"-"}}
		a.events[e.ID] = e
		delete(b.events, e.ID)
	}
	delete(b.events, list[777].ID)
	if r := mustSync(t, a, b, options(Both)); !r.Complete || r.Left != 20 || len(r.Refusals) != 20 || r.HeldBack != 20 || r.OnlyA != 21 ||
		r.ToB != 1 {
		t.Errorf("%+v", r)
	}
}

// A listed side that is interrupted within a second is asked for the rest of it.
func TestInterruptedWithinASecond(t *testing.T) {
	list, common := make([]nostr.Event, 266), notes(1000, 400)
	for i := range list {
		list[i] = note(i, today+int64(i/133))
	}
	a, b := newFake(common...), newFake(slices.Concat(list, common)...)
	b.no77 = true
	cuts := []int{60, 30, 0, 130, 10, 120, 0} // where the first lists end
	b.query = func(ctx context.Context, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
		return func(yield func(nostr.Event, error) bool) {
			out := b.matching(filter)
			most := len(out)
			if len(filter.IDs) == 0 && len(cuts) > 0 { // lists are asked for one after the other
				most, cuts = min(most, cuts[0]), cuts[1:]
			}
			for _, e := range out[:most] {
				if !yield(e, nil) {
					return
				}
			}
			if most < len(out) {
				yield(nostr.Event{}, fmt.Errorf("%w: cut", ErrInterrupted))
			}
		}
	}
	if r := mustSync(t, a, b, options(Down)); !r.Complete || len(a.events) != 666 {
		t.Errorf("a has %d: %+v", len(a.events), r)
	}
}
