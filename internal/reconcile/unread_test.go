package reconcile

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// unreadable has a relay without sessions deliver events that cannot be read.
func unreadable(f *fake, why map[string]string) {
	f.no77 = true
	f.query = func(ctx context.Context, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
		return func(yield func(nostr.Event, error) bool) {
			out := f.matching(filter)
			for _, e := range out[:min(len(out), filter.Limit)] {
				if why[e.ID] != "" {
					TellUnread(ctx, Unread{Claim: e, Why: why[e.ID]})
				} else if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// What a listed relay delivers and cannot be read is told with the reason,
// whatever the direction, and whether the other side lists the id or not; it is
// never taken for equal, nor for absent.
func TestUnreadableEventsAreTold(t *testing.T) {
	const forged, large = "signature is wrong", "larger than 5 bytes"
	for _, d := range []Direction{Down, Both, None} {
		for name, common := range map[string]int{"only there": 0, "one is on the other side, too": 1} {
			all := notes(0, 1200)
			a, b := newFake(all[:common]...), newFake(all...)
			why := map[string]string{all[0].ID: forged, all[500].ID: large, all[1199].ID: forged}
			unreadable(b, why)
			r := mustSync(t, a, b, options(d))
			counts := map[string]int{}
			for _, x := range r.Refusals {
				if x.Cause != BySource || x.To != 0 || why[x.ID.String()] == "" || !strings.HasSuffix(x.Text, why[x.ID.String()]) {
					t.Errorf("%v, %s: %v", d, name, x)
				}
				counts[why[x.ID.String()]]++
			}
			if !r.Complete || r.Left != 3 || r.Undelivered != 3 || counts[forged] != 2 || counts[large] != 1 || r.OnlyB != 1200-common {
				t.Errorf("%v, %s: complete %t, left %d, %v; %+v", d, name, r.Complete, r.Left, counts, r.Figures)
			}
			if d != None && r.ToA != 1197 {
				t.Errorf("%v, %s: written %d, want 1197", d, name, r.ToA)
			}
		}
	}

	// A side that is only written to lacks what it cannot show.
	all := notes(0, 10)
	a, b := newFake(all[:1]...), newFake(all...)
	unreadable(a, map[string]string{all[0].ID: forged})
	if r := mustSync(t, a, b, options(Down)); r.OnlyB != 10 || r.Left != 1 || r.Refusals[0].Code != NotKept {
		t.Errorf("%+v", r)
	}
}

// Whoever has the true event of a forgery is not the one that contradicts itself.
func TestAForgeryDoesNotAccuseTheOther(t *testing.T) {
	all := notes(0, 30)
	for _, d := range []Direction{Down, Both} {
		a, b := newFake(all...), newFake(all...)
		unreadable(b, map[string]string{all[3].ID: "its id is not its hash", all[7].ID: "signature is wrong"})
		r := mustSync(t, a, b, sampling(d))
		if !r.Complete || r.Left != 2 || r.Doubts[0].Some() || r.Doubts[1].Some() {
			t.Errorf("%v: complete %t %q, left %d, doubts %+v", d, r.Complete, r.Why, r.Left, r.Doubts)
		}
	}
}

// Of sessions, the reason is told why what is listed does not come.
func TestUnreadableEventsOfSessions(t *testing.T) {
	all := notes(0, 30)
	a, b := newFake(), newFake(all...)
	unreadable(b, map[string]string{all[3].ID: "larger than 5 bytes"})
	b.no77 = false
	r := mustSync(t, a, b, options(Down))
	if r.Left != 1 || r.ToA != 29 || r.Refusals[0].Text != "b delivers it, but it cannot be read: larger than 5 bytes" {
		t.Errorf("%+v", r)
	}
}

// What has no id is told all the same.
func TestUnreadableEventsWithoutAnID(t *testing.T) {
	a, b := newFake(), newFake(notes(0, 15)...)
	unreadable(b, nil)
	inner := b.query
	b.query = func(ctx context.Context, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
		for _, id := range []string{"", "x", strings.Repeat("A", 64)} {
			if claim := (nostr.Event{ID: id, CreatedAt: today}); filter.Match(&claim) {
				TellUnread(ctx, Unread{Claim: claim, Why: "no id"})
			}
		}
		return inner(ctx, filter)
	}
	r := mustSync(t, a, b, options(Down))
	if r.Left != 3 || r.ToA != 15 || slices.ContainsFunc(r.Refusals, func(x Refusal) bool { return !strings.HasSuffix(x.Text, "no id") }) {
		t.Errorf("%+v", r)
	}
}

// What cannot be read is not kept without bound, and what is beyond it is told as a
// number: nothing of it counts as equal.
func TestUnreadableEventsAreBounded(t *testing.T) {
	l := &session{Side: Side{Name: "b"}}
	for i := range maxUnread + 5 {
		l.cannotRead(Unread{Claim: note(i, today), Why: "forged"})
		l.cannotRead(Unread{Claim: note(0, today), Why: "forged"})
	}
	if len(l.unread) != maxUnread {
		t.Errorf("%d are kept", len(l.unread))
	}

	all := notes(0, maxUnread+300)
	a, b := newFake(all...), newFake(all...)
	why := map[string]string{}
	for _, e := range all {
		why[e.ID] = "forged"
	}
	unreadable(b, why)
	r := mustSync(t, a, b, options(Both))
	if r.Complete || r.Left != maxUnread || !strings.Contains(r.Why, "10000") {
		t.Errorf("complete %t, left %d, %q", r.Complete, r.Left, r.Why)
	}
}

// A peer that asks for one set after another does not make us keep what could not be
// read of those before.
func TestResponderForgetsWhatCannotBeRead(t *testing.T) {
	all := notes(0, 30)
	relay := newFake(all...)
	unreadable(relay, map[string]string{all[3].ID: "forged"})
	r := NewResponder(relay.side("relay"), "peer", options(Both))
	defer r.Close()
	for range 2 {
		r.Open(nostr.Filter{})
		if len(r.relay().unread) != 0 {
			t.Error("what the set before held is kept")
		}
		if _, err := r.Answer(t.Context(), agreed); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.relay().unread) != 1 {
		t.Errorf("%d cannot be read, want 1", len(r.relay().unread))
	}
}
