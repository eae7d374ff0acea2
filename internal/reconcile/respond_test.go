package reconcile

import (
	"errors"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// lead syncs as a peer does that leads the session, and holds these events.
func lead(t *testing.T, r *Responder, filter nostr.Filter, holds ...nostr.Event) (got []nostr.Event, err error) {
	t.Helper()
	var have, need []negentropy.ID
	ours := negentropy.NewReconciler(negentropy.NewVector(items(holds)), negentropy.Options{
		FrameLimit: negentropy.MinFrameLimit,
		Have:       func(id negentropy.ID) { have = append(have, id) },
		Need:       func(id negentropy.ID) { need = append(need, id) },
	})
	r.Open(filter)
	for msg, done := ours.Initiate(), false; !done; {
		answer, err := r.Answer(t.Context(), slices.Clone(msg))
		if err != nil {
			return nil, err
		}
		if msg, done, err = ours.Reconcile(answer); err != nil {
			t.Fatal(err)
		}
	}
	var batch []nostr.Event
	for _, e := range holds {
		if id, err := negentropy.ParseID(e.ID); err == nil && slices.Contains(have, id) {
			batch = append(batch, e)
		}
	}
	if err := r.Write(t.Context(), batch); err != nil {
		return nil, err
	}
	return got, r.Read(t.Context(), need, func(e nostr.Event) error {
		got = append(got, e)
		return nil
	})
}

func ids(list []nostr.Event) (out []string) {
	for _, e := range list {
		out = append(out, e.ID)
	}
	slices.Sort(out)
	return out
}

// Whatever the relay is like, a peer that leads ends up with what it lacked,
// and so does the relay.
func TestResponder(t *testing.T) {
	all := notes(0, 1500)
	for name, change := range map[string]func(*fake){
		"speaks NIP-77":         func(*fake) {},
		"frame limit":           func(f *fake) { f.frame = negentropy.MinFrameLimit },
		"speaks none":           func(f *fake) { f.no77 = true },
		"pages of 70":           func(f *fake) { f.page, f.no77 = 70, true },
		"drops the first calls": func(f *fake) { n := 0; f.cut = func() bool { n++; return n <= 2 } },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(all[:1000]...)
			change(f)
			r := NewResponder(f.side("relay"), "peer", Options{})
			defer r.Close()
			got, err := lead(t, r, nostr.Filter{}, all[500:]...)
			if err != nil || !slices.Equal(ids(got), ids(all[:500])) || len(f.events) != len(all) {
				t.Errorf("%v; the peer got %d events, the relay has %d", err, len(got), len(f.events))
			}
			if figures := r.Figures(); figures.ToA != 500 {
				t.Errorf("%+v", figures)
			}
		})
	}
}

// The filter of a session bounds what is compared, and the next session has its
// own.
func TestResponderFollowsTheFilter(t *testing.T) {
	all := notes(0, 30)
	f := newFake(all...)
	r := NewResponder(f.side("relay"), "peer", Options{})
	defer r.Close()
	for _, n := range []int{10, 20} {
		filter := nostr.Filter{Until: all[n].CreatedAt}
		got, err := lead(t, r, filter)
		if want := f.matching(filter); err != nil || !slices.Equal(ids(got), ids(want)) {
			t.Errorf("%v; got %d events, want %d", err, len(got), len(want))
		}
	}
}

// Our rules hold in both directions: protected, expired and private events stay
// where they are.
func TestResponderKeepsTheRules(t *testing.T) {
	all := notes(0, 6)
	all[0].Tags = []nostr.Tag{{"-"}}
	all[1].Kind = 1059
	all[2].Tags = []nostr.Tag{{"expiration", "1"}}
	f := newFake(all[:4]...)
	r := NewResponder(f.side("relay"), "peer", Options{})
	defer r.Close()
	if got, err := lead(t, r, nostr.Filter{}); err != nil || !slices.Equal(ids(got), ids(all[3:4])) {
		t.Errorf("%v; the peer got %v", err, got)
	}
	all[5].CreatedAt = 2 * today
	empty := newFake()
	r = NewResponder(empty.side("relay"), "peer", options(None))
	defer r.Close()
	if _, err := lead(t, r, nostr.Filter{}, all...); err != nil {
		t.Error(err)
	}
	if _, private := empty.events[all[1].ID]; len(empty.events) != 3 || !private {
		t.Errorf("the relay was given %d events", len(empty.events))
	}
}

// What the relay cannot do ends the session with the reason.
func TestResponderFails(t *testing.T) {
	all := notes(0, 100)
	f := newFake(all...)
	f.maxSet = 50
	r := NewResponder(f.side("relay"), "peer", Options{})
	defer r.Close()
	if _, err := lead(t, r, nostr.Filter{}); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	f.maxSet, f.refuse = 0, func(*nostr.Event) string { return "blocked: no" }
	if _, err := lead(t, r, nostr.Filter{}, note(100, today)); err != nil {
		t.Errorf("a refusal ended the session: %v", err)
	}
	if got := r.Figures(); got.Refused != 1 {
		t.Errorf("%+v", got)
	}
}

// A relay that is asked for a peer is asked for no more than it gives at once.
func TestResponderKeepsToTheRelaysLimits(t *testing.T) {
	all := notes(0, 50)
	relay := newFake(all...)
	relay.no77, relay.takes = true, Limits{Page: 7}
	r := NewResponder(relay.side("relay"), "peer", options(Both))
	defer r.Close()
	got, err := lead(t, r, nostr.Filter{})
	if err != nil || len(got) != len(all) {
		t.Errorf("%d events, %v", len(got), err)
	}
}
