// Package relaytest is what every transport of a relay must do: the contract of
// [reconcile.Relay] as tests.
package relaytest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Events is how many events a [Transport] needs.
const Events = 200

// Transport is a way to a relay, and what can be done there.
type Transport struct {
	// New starts a relay with these events, which the test's end stops.
	New func(t *testing.T, holds []nostr.Event) reconcile.Relay
	// Events are signed and of kind 1; some share a second.
	Events []nostr.Event

	Sessions bool // it speaks NIP-77, else it says that it does not
	Lists    bool // it answers filters without ids, else that is unsupported
	Live     bool // what comes is told, else subscriptions may be unsupported

	// Refusing starts a relay that answers every write with OK false and these
	// words, or OK false alone; nil where a transport cannot refuse.
	Refusing func(t *testing.T, words *string) reconcile.Relay
}

// Run runs the suite.
func Run(t *testing.T, tr Transport) {
	if len(tr.Events) != Events {
		t.Fatalf("%d events, want %d", len(tr.Events), Events)
	}
	for name, test := range map[string]func(*testing.T, Transport){
		"writes are answered":         writes,
		"a refusal is none":           refusals,
		"what is there is found":      finds,
		"lists are newest first":      lists,
		"sessions compare":            sessions,
		"subscriptions go on":         live,
		"two of them become the same": syncs,
		"nothing outlives its caller": cancelled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, tr)
		})
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func idsOf(list []nostr.Event) (ids []string) {
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// query collects what a relay has.
func query(ctx context.Context, r reconcile.Relay, filters ...nostr.Filter) (list []nostr.Event, err error) {
	for e, err := range r.Query(ctx, filters...) {
		if err != nil {
			return list, err
		}
		list = append(list, e)
	}
	return list, nil
}

// holds reports what a relay has of events that it is asked for by id.
func holds(t *testing.T, r reconcile.Relay, wanted []nostr.Event) (ids []string) {
	t.Helper()
	for part := range slices.Chunk(wanted, 100) {
		list, err := query(within(t), r, nostr.Filter{IDs: idsOf(part), Limit: len(part)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, idsOf(list)...)
	}
	slices.Sort(ids)
	return ids
}

func writes(t *testing.T, tr Transport) {
	r := tr.New(t, tr.Events[:10])
	group, ctx := errgroup.WithContext(within(t))
	for _, e := range tr.Events[:100] { // ten of them it has
		group.Go(func() error { return reconcile.Write(ctx, r, e) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	again, err := r.Publish(within(t), tr.Events[50])
	if err != nil || !again.Kept() {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	if got := holds(t, r, tr.Events); !slices.Equal(got, idsOf(tr.Events[:100])) {
		t.Errorf("it holds %d events, want 100", len(got))
	}
}

func refusals(t *testing.T, tr Transport) {
	if tr.Refusing == nil {
		t.Skip("this transport cannot refuse")
	}
	none, empty, blocked, have := (*string)(nil), "", "Blocked: not here", "duplicate: have it"
	for _, c := range []struct {
		words *string
		want  reconcile.Reply
	}{
		{none, reconcile.Refuse(reconcile.Reason{})},
		{&empty, reconcile.Refuse(reconcile.Reason{})},
		{&blocked, reconcile.Refuse(reconcile.Reason{Code: reconcile.PrefixBlocked, Text: blocked})},
		{&have, reconcile.Reply{Outcome: reconcile.Duplicate}},
	} {
		got, err := tr.Refusing(t, c.words).Publish(within(t), tr.Events[0])
		if got != c.want || err != nil {
			t.Errorf("%+v, %v; want %+v", got, err, c.want)
		}
	}
}

func finds(t *testing.T, tr Transport) {
	r := tr.New(t, tr.Events[:20])
	if got := holds(t, r, tr.Events[10:30]); !slices.Equal(got, idsOf(tr.Events[10:20])) {
		t.Errorf("it has %d of them, want 10", len(got))
	}
	other, err := query(within(t), r, nostr.Filter{IDs: idsOf(tr.Events[:5]), Kinds: []int{7}})
	if len(other) > 0 || err != nil {
		t.Errorf("%d events do not match, %v", len(other), err)
	}
	for _, err := range r.Query(within(t), nostr.Filter{IDs: idsOf(tr.Events[:20])}) {
		if err != nil {
			t.Error(err)
		}
		break // costs nothing but the request
	}
	if got := holds(t, r, tr.Events[:1]); len(got) != 1 {
		t.Errorf("after a list that was broken off it has %d", len(got))
	}
}

func lists(t *testing.T, tr Transport) {
	r := tr.New(t, tr.Events[:60])
	all, err := query(within(t), r, nostr.Filter{Kinds: []int{1}, Limit: 30})
	if !tr.Lists {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%d events, %v", len(all), err)
		}
		return
	}
	newest := slices.SortedFunc(slices.Values(tr.Events[:60]), func(a, b nostr.Event) int { return cmp.Compare(b.CreatedAt, a.CreatedAt) })
	byTime := func(a, b nostr.Event) int { return cmp.Compare(b.CreatedAt, a.CreatedAt) }
	if err != nil || len(all) != 30 || !slices.IsSortedFunc(all, byTime) || all[29].CreatedAt < newest[29].CreatedAt {
		t.Errorf("%d events, %v; want the newest 30 in their order", len(all), err)
	}
	two, err := query(within(t), r, nostr.Filter{IDs: idsOf(tr.Events[:1])}, nostr.Filter{IDs: idsOf(tr.Events[1:3])})
	if err != nil || len(idsOf(two)) != 3 {
		t.Errorf("two filters find %d events, %v", len(two), err)
	}
}

func sessions(t *testing.T, tr Transport) {
	r := tr.New(t, tr.Events[:150])
	ours := negentropy.NewVector(nil)
	var need []string
	rec := negentropy.NewReconciler(ours, negentropy.Options{
		FrameLimit: negentropy.MinFrameLimit, Need: func(id negentropy.ID) { need = append(need, id.String()) },
	})
	s, answer, err := r.Open(within(t), nostr.Filter{Kinds: []int{1}}, rec.Initiate())
	if !tr.Sessions {
		if !errors.Is(err, reconcile.ErrNoNegentropy) {
			t.Errorf("it opened a session, %v", err)
		}
		return
	}
	for err == nil {
		msg, done, failed := rec.Reconcile(answer)
		if failed != nil || done {
			err = failed
			break
		}
		answer, err = s.Exchange(within(t), msg)
	}
	slices.Sort(need)
	if need = slices.Compact(need); err != nil || !slices.Equal(need, idsOf(tr.Events[:150])) {
		t.Errorf("%d events found, %v", len(need), err)
	}
	s.Close()
	s.Close()
	if l := r.Limits(within(t)); l.Accepts < 0 || l.Answers < 0 || l.Accepts > 0 && l.Accepts < negentropy.MinFrameLimit {
		t.Errorf("limits %+v", l)
	}
}

func live(t *testing.T, tr Transport) {
	r := tr.New(t, tr.Events[:10])
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	seen, marks := []nostr.Event(nil), 0
	for u, err := range r.Subscribe(ctx, nostr.Filter{Kinds: []int{1}}) {
		switch {
		case errors.Is(err, errors.ErrUnsupported) && !tr.Live:
			return
		case !tr.Live:
			t.Skip("this relay tells of nothing live")
		case err != nil:
			if !errors.Is(err, context.Canceled) || marks != 1 || !slices.Equal(idsOf(seen), idsOf(tr.Events[:11])) {
				t.Errorf("%d events and %d marks, %v", len(seen), marks, err)
			}
			return
		case u.EOSE:
			if marks++; len(seen) != 10 {
				t.Errorf("the mark is behind %d events, want 10", len(seen))
			}
			if err := reconcile.Write(within(t), r, tr.Events[10]); err != nil {
				t.Fatal(err)
			}
		default:
			if seen = append(seen, u.Event); len(seen) == 11 {
				cancel()
			}
		}
	}
	t.Error("it ended without an error")
}

func syncs(t *testing.T, tr Transport) {
	a, b := tr.New(t, tr.Events[:120]), tr.New(t, tr.Events[80:])
	r, err := reconcile.Sync(within(t), reconcile.Side{Relay: a, Name: "a"}, reconcile.Side{Relay: b, Name: "b"},
		nostr.Filter{}, reconcile.Options{Direction: reconcile.Both})
	if !tr.Sessions && !tr.Lists {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
		return
	}
	if err != nil || !r.Complete || r.ToA != 80 || r.ToB != 80 {
		t.Errorf("%v; %+v", err, r)
	}
	for name, side := range map[string]reconcile.Relay{"a": a, "b": b} {
		if got := holds(t, side, tr.Events); len(got) != len(tr.Events) {
			t.Errorf("%s holds %d events", name, len(got))
		}
	}
}

// Every method ends with its caller's context, and says that it did.
func cancelled(t *testing.T, tr Transport) {
	r := tr.New(t, tr.Events[:10])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, opened := r.Open(ctx, nostr.Filter{}, []byte{0x61})
	_, queried := query(ctx, r, nostr.Filter{IDs: idsOf(tr.Events[:10])})
	_, published := r.Publish(ctx, tr.Events[20])
	for what, err := range map[string]error{"Open": opened, "Query": queried, "Publish": published} {
		if what == "Open" && !tr.Sessions && errors.Is(err, reconcile.ErrNoNegentropy) {
			continue
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
