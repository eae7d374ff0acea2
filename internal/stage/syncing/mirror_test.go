package syncing

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// sideOf is one of a sync that fails, or that finds nothing.
type sideOf struct {
	reconcile.Relay

	err error
}

func (sideOf) Limits(context.Context) reconcile.Limits { return reconcile.Limits{} }

func (s sideOf) Open(_ context.Context, _ nostr.Filter, first []byte) (reconcile.Session, []byte, error) {
	answer, err := negentropy.NewReconciler(negentropy.NewVector(nil), negentropy.Options{}).Respond(first)
	return over{}, answer, errors.Join(s.err, err)
}

type over struct{ reconcile.Session }

func (over) Close() {}

// faultOf is the error of a sync that fails for one side.
func faultOf(t *testing.T, at negentropy.Side) error {
	t.Helper()
	sides := [2]reconcile.Side{{Relay: sideOf{}}, {Relay: sideOf{}}}
	sides[at].Relay = sideOf{err: errors.New("gone")}
	_, err := reconcile.Sync(t.Context(), sides[0], sides[1], nostr.Filter{}, reconcile.Options{})
	if side, ok := reconcile.FaultOf(err); !ok || side != at {
		t.Fatalf("side %d: %v", at, err)
	}
	return err
}

// The middle of a group is the local relay or the first, and while that is away the
// next; where all are, it stays.
func TestTheMiddleMoves(t *testing.T) {
	const local, a, b = "ws://local", "wss://a.example", "wss://b.example"
	now := time.Unix(1_700_000_000, 0)
	s := &Stage{
		Local: local, Public: []string{"wss://public.example"}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
	}
	away := func(url string) { // a sync with it in the middle fails
		s.moves(t.Context(), &job{middle: url, group: []string{a, b, local}}, faultOf(t, negentropy.SideA))
	}
	want := func(middle string, group ...string) {
		t.Helper()
		if got := s.middle(group); got != middle {
			t.Errorf("%q is in the middle of %q, want %q", got, group, middle)
		}
	}
	want(a, a, b)
	want(local, a, b, local)
	want(local, a, "wss://public.example")
	if s.moves(t.Context(), &job{middle: a, group: []string{a, b}}, faultOf(t, negentropy.SideB)) {
		t.Error("it moves for a fault of another relay")
	}
	want(a, a, b)
	away(a)
	want(b, a, b)
	away(local)
	want(b, a, b, local)
	away(b)
	want(a, a, b)
	want(local, a, b, local)
	now = now.Add(absentFor)
	want(a, a, b)
	want(local, a, b, local)
}

// What comes live goes to all others of the groups that want it, and to the local
// relay if it is one, or if the rule is about it alone.
func TestWhoTakesWhatComesLive(t *testing.T) {
	const local, a, b, c = "ws://local", "wss://a.example", "wss://b.example", "wss://c.example"
	s := &Stage{Local: local}
	notes, likes := nostr.Filter{Kinds: []int{1}}, nostr.Filter{Kinds: []int{7}}
	group := func(f nostr.Filter, urls ...string) job {
		return job{filter: f, direction: reconcile.Both, group: urls, middle: urls[0]}
	}
	for name, c := range map[string]struct {
		jobs   []job
		local  bool
		others []string
	}{
		"a plain rule":       {[]job{{filter: notes, direction: reconcile.Down}}, true, nil},
		"up only":            {[]job{{filter: notes, direction: reconcile.Up}}, false, nil},
		"a group":            {[]job{group(notes, a, b, c)}, false, []string{b, c}},
		"of other events":    {[]job{group(likes, a, b, c)}, false, nil},
		"with the local":     {[]job{group(notes, a, b, local)}, true, []string{b}},
		"two that overlap":   {[]job{group(notes, a, b), group(notes, b, a, c)}, false, []string{b, c}},
		"a group and a rule": {[]job{group(notes, a, b), {filter: notes, direction: reconcile.Down}}, true, []string{b}},
	} {
		home, others := s.takers(a, c.jobs, &nostr.Event{Kind: 1})
		if home != c.local || !slices.Equal(others, c.others) {
			t.Errorf("%s: local %t, others %q", name, home, others)
		}
	}
}
