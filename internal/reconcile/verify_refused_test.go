package reconcile

import (
	"context"
	"iter"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Whyever events cannot be given, their ids are asked about, and the relays do not
// compare their sets once more, which takes as many bytes as the first time.
func TestRefusedEventsCostNoPass(t *testing.T) {
	common, onlyA, onlyB := notes(0, 5000), notes(10_000, 30), notes(20_000, 30)
	bad := map[string]bool{}
	for _, e := range onlyA {
		bad[e.ID] = true
	}
	bytes := map[string]int64{}
	for name, change := range map[string]func(a, b *fake, o *Options){
		"":                   func(*fake, *fake, *Options) {},
		"by the relay":       func(_, b *fake, _ *Options) { b.refuse = refuses(bad, "blocked: no") },
		"replaced":           func(_, b *fake, _ *Options) { b.refuse = refuses(bad, "replaced: have newer") },
		"not delivered":      func(a, _ *fake, _ *Options) { a.hides = func(id string) bool { return bad[id] } },
		"not readable":       func(a, _ *fake, _ *Options) { a.query = garbled(a, bad) },
		"in an earlier sync": func(_, _ *fake, o *Options) { o.Refused = earlier(bad) },
	} {
		a, b := newFake(slices.Concat(common, onlyA)...), newFake(slices.Concat(common, onlyB)...)
		o := options(Both)
		change(a, b, &o)
		r := mustSync(t, a, b, o)
		left := len(onlyA)
		if name == "" {
			left = 0
		}
		if !r.Complete || r.Left != left || len(r.Refusals) != left || r.OnlyA != 30 || r.ToA != 30 || r.ToB != 30-left {
			t.Errorf("%s: %+v", name, r)
		}
		for _, refusal := range r.Refusals {
			if !bad[refusal.ID.String()] || refusal.To != negentropy.SideB {
				t.Errorf("%s: %+v", name, refusal)
			}
		}
		bytes[name] = r.NegBytes
	}
	for name, n := range bytes {
		if most := bytes[""] + 30*200; n > most {
			t.Errorf("%s: %d bytes in sessions, want <= %d", name, n, most)
		}
	}
}

func refuses(bad map[string]bool, why string) func(*nostr.Event) string {
	return func(e *nostr.Event) string {
		if bad[e.ID] {
			return why
		}
		return ""
	}
}

func earlier(bad map[string]bool) func(negentropy.Side, negentropy.ID) bool {
	return func(to negentropy.Side, id negentropy.ID) bool { return to == negentropy.SideB && bad[id.String()] }
}

// garbled delivers events as what cannot be read.
func garbled(f *fake, bad map[string]bool) func(context.Context, nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(ctx context.Context, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
		return func(yield func(nostr.Event, error) bool) {
			for _, e := range f.matching(filter) {
				if bad[e.ID] {
					TellUnread(ctx, Unread{Claim: e, Why: "signature is wrong"})
				} else if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// What was refused is equal after all if its source has it no more: the deletion
// that the other side knew came with the same sync. Relays that are listed say so,
// too; those that cannot be asked are compared again.
func TestARefusalIsSettledByWhatIsTransferred(t *testing.T) {
	for name, behaves := range map[string]func(*fake){
		"negentropy":        func(*fake) {},
		"listed":            func(f *fake) { f.no77 = true },
		"listed, in parts":  func(f *fake) { f.no77, f.page = true, 7 },
		"not about ids":     func(f *fake) { f.noIDs = true },
		"the newest only":   func(f *fake) { f.newest, f.page = 100, 100 },
		"takes little":      func(f *fake) { f.takes.Accepts = negentropy.MinFrameLimit },
		"lists in sessions": func(f *fake) { f.maxSet = 90 },
	} {
		common, onlyA, onlyB := notes(0, 300), notes(10_000, 30), notes(20_000, 30)
		deleted, stays := onlyA[7].ID, onlyA[8].ID
		onlyB[3].Kind = nostr.KindDeletion
		a, b := newFake(slices.Concat(common, onlyA)...), newFake(slices.Concat(common, onlyB)...)
		behaves(a)
		behaves(b)
		a.drops = func(e *nostr.Event) bool {
			if e.Kind == nostr.KindDeletion {
				delete(a.events, deleted)
			}
			return false
		}
		b.refuse = func(e *nostr.Event) string {
			if e.ID == deleted || e.ID == stays {
				return "blocked: deleted"
			}
			return ""
		}
		r := mustSync(t, a, b, options(Both))
		if !r.Complete || r.Left != 1 || r.Refusals[0].ID.String() != stays {
			t.Errorf("%s: %t %q, %d left: %v", name, r.Complete, r.Why, r.Left, r.Refusals)
		}
	}
}

// As many refusals as cannot be asked about one by one are compared again, and
// each is told once.
func TestManyRefusals(t *testing.T) {
	for _, n := range []int{maxProvable, maxProvable + 1} {
		a, b := newFake(notes(0, n)...), newFake(notes(10_000, 20)...)
		b.refuse = func(*nostr.Event) string { return "blocked: all" }
		r := mustSync(t, a, b, options(Both))
		if !r.Complete || r.Left != n || r.Refused != n || len(r.Refusals) != maxRefused || r.ToA != 20 {
			t.Errorf("%d: %t %q, %d left, %+v", n, r.Complete, r.Why, r.Left, r.Figures)
		}
	}
}
