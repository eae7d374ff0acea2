package relay

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// follower records what a Tail tells it, and lets a test wait for it.
type follower struct {
	events  chan nostr.Event
	through chan int64
}

func newFollower() *follower {
	return &follower{make(chan nostr.Event, 10_000), make(chan int64, 10_000)}
}

func (f *follower) follow(since int64) Follow {
	return Follow{
		Filter: filterAll,
		Since:  since,
		Handle: func(_ context.Context, e nostr.Event) error {
			f.events <- e
			return nil
		},
		CaughtUp: func(_ context.Context, through int64) error {
			f.through <- through
			return nil
		},
	}
}

// seen returns the ids handled so far.
func (f *follower) seen() map[string]bool {
	ids := map[string]bool{}
	for range len(f.events) {
		ids[(<-f.events).ID] = true
	}
	return ids
}

// run starts a Tail that the end of the test stops.
func run(t *testing.T, url string, f Follow) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Tail(ctx, url, testOptions(), f) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("tail: %v", err)
		}
	})
}

func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestTailRealRelay(t *testing.T) {
	url := startHome(t)
	c := dial(t, url)
	all := notes(t, 6)
	for _, e := range all[:4] {
		if err := reconcile.Write(testContext(t), c, e); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Unix()
	f := newFollower()
	run(t, url, f.follow(all[1].CreatedAt))
	if through := receive(t, f.through); through < before {
		t.Errorf("caught up through %d, want the time of the backfill", through)
	}
	if seen := f.seen(); len(seen) != 3 || seen[all[0].ID] {
		t.Errorf("%d events before the tail caught up, want the 3 since then", len(seen))
	}
}

// Clients bring lists of long ago to a new relay, and so does every import: the
// date of an event says nothing about its arrival.
func TestTailHearsWhatTheRelayReceivesWhateverItsDate(t *testing.T) {
	url, now := startHome(t), time.Now().Unix()
	c, f := dial(t, url), newFollower()
	follow := f.follow(now - 600)
	follow.Filter = nostr.Filter{}
	run(t, url, follow)
	receive(t, f.through)
	for kind, at := range map[int]int64{1: now, 10002: now - 3600, 0: now - 30*86400, 1063: 1, 30023: 0} {
		e := note(t, newKey(t), kind, at, "", nostr.Tag{"d", "x"})
		if err := reconcile.Write(testContext(t), c, e); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, f.events); got.ID != e.ID {
			t.Errorf("got %s, want the event of kind %d made %d s ago", got.ID, kind, now-at)
		}
	}
}

// The relay receives an old event while a long past is still paged through.
func TestTailHearsDuringTheBackfill(t *testing.T) {
	all, old := notes(t, 30), note(t, newKey(t), 1, 5, "")
	pages := cappedRelay(all, 10)
	url := startFake(t, func(p *peer) {
		live := p.expect("REQ")[0]
		p.send("EOSE", live)
		req := p.expect("REQ")
		p.send("EVENT", req[0], all[29])
		p.send("EVENT", live, old)
		p.send("EOSE", req[0])
		pages(p)
	}).url
	f := newFollower()
	run(t, url, f.follow(1000))
	seen := map[string]bool{}
	for len(seen) < 31 {
		seen[receive(t, f.events).ID] = true
	}
	if receive(t, f.through); !seen[old.ID] {
		t.Error("the old event did not come")
	}
}

// cappedRelay stores the events and gives at most limit of them per REQ,
// newest first.
func cappedRelay(all []nostr.Event, limit int) func(*peer) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b nostr.Event) int {
		if a.CreatedAt != b.CreatedAt {
			return int(b.CreatedAt - a.CreatedAt)
		}
		return slices.Compare([]byte(a.ID), []byte(b.ID))
	})
	return func(p *peer) {
		for msg := p.expect("REQ"); msg != nil; msg = p.expect("REQ") {
			var f nostr.Filter
			if err := json.Unmarshal(msg[1], &f); err != nil {
				p.t.Error(err)
			}
			sent := 0
			for _, e := range all {
				if sent < limit && (f.Limit == 0 || sent < f.Limit) && f.Match(&e) {
					p.send("EVENT", msg[0], e)
					sent++
				}
			}
			p.send("EOSE", msg[0])
		}
	}
}

// However little a relay gives at once, all of the gap is filled before the
// tail says that it caught up.
func TestTailPagesBack(t *testing.T) {
	all := notes(t, 100)
	sk := newKey(t)
	for i := range 5 { // several in one second
		all = append(all, note(t, sk, 1, all[40].CreatedAt, strconv.Itoa(i)))
	}
	for _, limit := range []int{7, 20, 99, 100, 1000} {
		f := newFollower()
		run(t, startFake(t, cappedRelay(all, limit)).url, f.follow(all[3].CreatedAt))
		receive(t, f.through)
		if seen := f.seen(); len(seen) != len(all)-3 {
			t.Errorf("pages of %d: %d events, want %d", limit, len(seen), len(all)-3)
		}
	}
}

// Nobody promised an order or a page size: some relays send the oldest first,
// those without a limit or all, and some send all whatever the limit.
func TestTailReadsAllWhateverTheOrderAndTheSizeOfPages(t *testing.T) {
	all := notes(t, 1300)
	newestFirst := slices.Clone(all)
	slices.Reverse(newestFirst)
	for name, page := range map[string]func(f nostr.Filter) (list []nostr.Event, most int){
		"the oldest first without a limit": func(f nostr.Filter) ([]nostr.Event, int) {
			if f.Limit == 0 {
				return all, 500
			}
			return newestFirst, f.Limit
		},
		"the oldest first":                    func(f nostr.Filter) ([]nostr.Event, int) { return all, f.Limit },
		"the oldest first, few":               func(f nostr.Filter) ([]nostr.Event, int) { return all, min(f.Limit, 100) },
		"the limit ignored":                   func(nostr.Filter) ([]nostr.Event, int) { return newestFirst, len(all) },
		"the limit ignored, the oldest first": func(nostr.Filter) ([]nostr.Event, int) { return all, len(all) },
	} {
		url := startFake(t, func(p *peer) {
			for msg := p.expect("REQ"); msg != nil; msg = p.expect("REQ") {
				var f nostr.Filter
				if err := json.Unmarshal(msg[1], &f); err != nil {
					p.t.Error(err)
				}
				list, most := page(f)
				for _, e := range list {
					if most > 0 && f.Match(&e) {
						p.send("EVENT", msg[0], e)
						most--
					}
				}
				p.send("EOSE", msg[0])
			}
		}).url
		f := newFollower()
		run(t, url, f.follow(all[10].CreatedAt))
		receive(t, f.through)
		seen := f.seen()
		for _, e := range all[10:] {
			if !seen[e.ID] {
				t.Errorf("%s: %d events of %d", name, len(seen), len(all)-10)
				break
			}
		}
	}
}

// More events in one second than a page holds cannot all be had; the rest must
// be, and the walk must end.
func TestTailFullSecond(t *testing.T) {
	var all []nostr.Event
	sk := newKey(t)
	for i := range 30 {
		all = append(all, note(t, sk, 1, 1000, strconv.Itoa(i)))
	}
	older := note(t, sk, 1, 900, "older")
	first := note(t, sk, 1, 0, "the first second of all")
	f := newFollower()
	run(t, startFake(t, cappedRelay(append(all, older, first), 10)).url, f.follow(0))
	receive(t, f.through)
	if seen := f.seen(); len(seen) < 12 || !seen[older.ID] || !seen[first.ID] {
		t.Errorf("%d events, want a page of the full second and those that are older", len(seen))
	}
}

// A CLOSED and a lost connection end the tail, with the error.
func TestTailEndsWithItsConnection(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(p *peer, sub json.RawMessage)
		want error
	}{
		"CLOSED": {func(p *peer, sub json.RawMessage) {
			p.send("CLOSED", sub, "error: restarting")
			p.expect("REQ") // until the other side hangs up
		}, nil},
		"lost": {func(*peer, json.RawMessage) {}, ErrConnClosed},
	} {
		all := notes(t, 1)
		f := startFake(t, func(p *peer) {
			live := p.expect("REQ")[0]
			p.send("EVENT", live, all[0])
			p.send("EOSE", live)
			p.send("EOSE", p.expect("REQ")[0])
			c.end(p, live)
		})
		follower := newFollower()
		err := Tail(testContext(t), f.url, testOptions(), follower.follow(100))
		if no := (*reconcile.RefusedError)(nil); c.want == nil && !errors.As(err, &no) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if !follower.seen()[all[0].ID] {
			t.Errorf("%s: the event did not come before", name)
		}
	}
}

// What the caller's functions say ends the tail.
func TestTailHandlerFails(t *testing.T) {
	url := startFake(t, cappedRelay(notes(t, 3), 10)).url
	broken := errors.New("broken")
	f := newFollower().follow(0)
	f.Handle = func(context.Context, nostr.Event) error { return broken }
	if err := Tail(testContext(t), url, testOptions(), f); !errors.Is(err, broken) {
		t.Errorf("Handle: %v", err)
	}
	f = newFollower().follow(0)
	f.CaughtUp = func(context.Context, int64) error { return broken }
	if err := Tail(testContext(t), url, testOptions(), f); !errors.Is(err, broken) {
		t.Errorf("CaughtUp: %v", err)
	}
	if err := Tail(testContext(t), "http://x", testOptions(), f); err == nil {
		t.Error("a bad address is tried for ever")
	}
}

// A handler that blocks costs its subscription, and no event.
func TestTailSlowHandler(t *testing.T) {
	all := notes(t, 3*queueLength)
	o := testOptions()
	o.timing.stall = 50 * time.Millisecond
	follower := newFollower()
	follow := follower.follow(0)
	release := make(chan struct{})
	time.AfterFunc(500*time.Millisecond, func() { close(release) })
	handle := follow.Handle
	follow.Handle = func(ctx context.Context, e nostr.Event) error {
		<-release
		return handle(ctx, e)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	follow.CaughtUp = func(context.Context, int64) error { cancel(); return nil }
	url := startFake(t, cappedRelay(all, len(all))).url
	if err := Tail(ctx, url, o, follow); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if seen := follower.seen(); len(seen) != len(all) {
		t.Errorf("%d events, want %d", len(seen), len(all))
	}
}
