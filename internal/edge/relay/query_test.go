package relay

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/pager"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

var filterAll = nostr.Filter{Kinds: []int{1}}

// serve answers every REQ with the events and EOSE.
func serve(all []nostr.Event) func(*peer) {
	return func(p *peer) {
		for req := p.expect("REQ"); req != nil; req = p.expect("REQ") {
			for _, e := range all {
				p.send("EVENT", req[0], e)
			}
			p.send("EOSE", req[0])
		}
	}
}

func TestQueryRealRelay(t *testing.T) {
	c := dial(t, startHome(t))
	all := notes(t, 200)
	var wg sync.WaitGroup
	for _, e := range all {
		wg.Go(func() {
			if err := reconcile.Write(testContext(t), c, e); err != nil {
				t.Errorf("publish: %v", err)
			}
		})
	}
	wg.Wait()
	got, err := collect(t, c, filterAll)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(got)
	if !slices.Equal(ids(got), ids(all)) {
		t.Errorf("got %d events, want all 200 in order of time", len(got))
	}
	one, err := collect(t, c, nostr.Filter{IDs: []string{all[7].ID}}, nostr.Filter{Authors: []string{all[0].PubKey}, Until: all[1].CreatedAt})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(one, func(a, b nostr.Event) int { return int(a.CreatedAt - b.CreatedAt) })
	if !slices.Equal(ids(one), ids([]nostr.Event{all[0], all[1], all[7]})) {
		t.Errorf("two filters gave %d events, want 3", len(one))
	}
}

func TestBadEventsAreDropped(t *testing.T) {
	all := notes(t, 3)
	forged := all[0]
	forged.Content = "other words"
	unsigned := all[1]
	unsigned.Sig = all[0].Sig
	other := note(t, newKey(t), 7, 1, "+")
	got, err := collect(t, dial(t, startFake(t, serve([]nostr.Event{forged, unsigned, other, all[2]})).url), filterAll)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ids(got), []string{all[2].ID}) {
		t.Errorf("got %d events, want the one good one", len(got))
	}
}

// Of events that are held here the signature is not verified again, but the id is: it holds what is looked at.
func TestHeldEventsAreNotVerifiedAgain(t *testing.T) {
	all := notes(t, 3)
	forged, unsigned, unknown := all[0], all[1], all[2]
	forged.Content = "other words"
	unsigned.Sig, unknown.Sig = all[0].Sig, all[0].Sig
	ctx := reconcile.WithHeld(t.Context(), func(e *nostr.Event) bool { return e.ID != unknown.ID })
	var got []string
	for e, err := range dial(t, startFake(t, serve([]nostr.Event{forged, unsigned, unknown})).url).Query(ctx, filterAll) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.ID)
	}
	if !slices.Equal(got, []string{unsigned.ID}) {
		t.Errorf("%d events came, want the one that is held and has its id", len(got))
	}
}

// Whoever asks for it is told what is left out although it matches, and why.
func TestUnreadableEventsAreTold(t *testing.T) {
	sk, good := newKey(t), notes(t, 2)
	forged := good[0]
	forged.Sig = strings.Repeat("0", 128)
	changed := note(t, sk, 1, 1_700_000_100, "words")
	changed.Content = "other words"
	tags := note(t, sk, 1, 1_700_000_200, "")
	tags.Tags = slices.Repeat([]nostr.Tag{{"p", "x"}}, nostr.MaxTags+1)
	tags.ID = tags.Hash()
	large, other := note(t, sk, 1, 1_700_000_300, ""), note(t, sk, 7, 1_700_000_400, "")
	large.Content, other.Content = strings.Repeat("z", nostr.MaxEventBytes), strings.Repeat("z", nostr.MaxEventBytes)
	odd := raw(`{"id":"` + strings.Repeat("f", 64) + `","kind":1,"tags":[[1]],"created_at":1700000500}`)
	fraction := raw(`{"id":"` + strings.Repeat("e", 64) + `","pubkey":"` + good[0].PubKey + `","kind":1,"tags":[],"content":"","sig":"` +
		good[0].Sig + `","created_at":1700000600.5}`)
	f := startFake(t, func(p *peer) {
		for req := p.expect("REQ"); req != nil; req = p.expect("REQ") {
			for _, e := range []nostr.Event{forged, changed, tags, large, other, good[1]} {
				p.send("EVENT", req[0], e)
			}
			p.send(raw(`["EVENT",` + string(req[0]) + `,` + string(odd) + `]`))
			p.send(raw(`["EVENT",` + string(req[0]) + `,` + string(fraction) + `]`))
			p.send("EOSE", req[0])
		}
	})
	told := map[string]string{}
	ctx := reconcile.WithUnread(testContext(t), func(u reconcile.Unread) { told[u.Claim.ID] = u.Why })
	n := 0
	for e, err := range dial(t, f.url).Query(ctx, filterAll) {
		if n++; err != nil || e.ID != good[1].ID {
			t.Errorf("got %s, %v", e.ID, err)
		}
	}
	want := map[string]string{
		forged.ID: "signature", changed.ID: "its id is not its hash", tags.ID: "tags: ", large.ID: "larger than",
		strings.Repeat("f", 64): "not a JSON event", strings.Repeat("e", 64): "created_at",
	}
	for id, why := range want {
		if !strings.Contains(told[id], why) {
			t.Errorf("told %q, want %q", told[id], why)
		}
	}
	if n != 1 || len(told) != len(want) {
		t.Errorf("%d events came, %d were told of", n, len(told))
	}
}

func TestTooManyBadEvents(t *testing.T) {
	bad := slices.Repeat([]nostr.Event{note(t, newKey(t), 7, 1, "+")}, tolerated+1)
	_, err := collect(t, dial(t, startFake(t, serve(bad)).url), filterAll)
	if !errors.Is(err, reconcile.ErrMisbehaving) || !strings.Contains(err.Error(), "does not match") {
		t.Errorf("got %v", err)
	}
}

// A relay that heeds no since or until sends a page of other events, which is no
// breach; without end it is a page that overflows.
func TestEventsFromOutsideThePeriodAreLeftOutAndTold(t *testing.T) {
	all := notes(t, 2*tolerated+10)
	for _, c := range []struct {
		filter nostr.Filter
		want   int
	}{
		{nostr.Filter{Until: all[4].CreatedAt, Limit: 2 * tolerated}, 5},
		{nostr.Filter{Since: all[len(all)-3].CreatedAt, Limit: 2 * tolerated}, 3},
		{nostr.Filter{Until: 1, Limit: 2 * tolerated}, 0},
	} {
		told := 0
		ctx := reconcile.WithStrays(testContext(t), func(int64) { told++ })
		got := 0
		for _, err := range dial(t, startFake(t, serve(all)).url).Query(ctx, c.filter) {
			if err != nil {
				t.Error(err)
			}
			got++
		}
		if got != c.want || told != len(all)-c.want {
			t.Errorf("%+v: %d came, told of %d", c.filter, got, told)
		}
	}
	_, err := collect(t, dial(t, startFake(t, serve(all)).url), nostr.Filter{Until: 1, Limit: 9})
	if !errors.Is(err, pager.ErrOverflow) {
		t.Errorf("got %v", err)
	}
}

func TestMoreThanAskedFor(t *testing.T) {
	one := notes(t, 1)
	f := startFake(t, serve(slices.Repeat(one, tolerated+2)))
	if _, err := collect(t, dial(t, f.url), nostr.Filter{IDs: ids(one)}); !errors.Is(err, reconcile.ErrMisbehaving) {
		t.Errorf("got %v", err)
	}
	if got, err := collect(t, dial(t, f.url), filterAll); err != nil || len(got) != tolerated+2 {
		t.Errorf("a query without bounds: %d events, %v", len(got), err)
	}
}

func TestClosed(t *testing.T) {
	f := startFake(t, func(p *peer) {
		for req := p.expect("REQ"); req != nil; req = p.expect("REQ") {
			p.send("CLOSED", req[0], "Restricted: members only")
		}
	})
	_, err := collect(t, dial(t, f.url), filterAll)
	refused := reconcile.RefusalOf(err)
	if refused == nil || !errors.Is(err, reconcile.ErrRefused) || refused.Reason.Text != "Restricted: members only" {
		t.Errorf("got %v", err)
	}
}

func TestNoAnswer(t *testing.T) {
	f := startFake(t, (*peer).drain)
	short := func(o *Options) { o.timing.answer = 30 * time.Millisecond }
	c := dial(t, f.url, short)
	if _, err := collect(t, c, filterAll); !errors.Is(err, reconcile.ErrTimeout) {
		t.Errorf("query: %v", err)
	}
	if err := reconcile.Write(testContext(t), c, notes(t, 1)[0]); !errors.Is(err, reconcile.ErrTimeout) {
		t.Errorf("publish: %v", err)
	}
	if _, _, err := c.Open(testContext(t), filterAll, []byte{0x61}); !errors.Is(err, reconcile.ErrTimeout) {
		t.Errorf("negentropy: %v", err)
	}
	if c.Err() != nil {
		t.Errorf("the connection ended: %v", c.Err())
	}
}

func TestConnectionLost(t *testing.T) {
	f := startFake(t, func(p *peer) { p.next() })
	if _, err := collect(t, dial(t, f.url), filterAll); !errors.Is(err, ErrConnClosed) {
		t.Errorf("query: %v", err)
	}
	if err := reconcile.Write(testContext(t), dial(t, f.url), notes(t, 1)[0]); !errors.Is(err, ErrConnClosed) {
		t.Errorf("publish: %v", err)
	}
	if _, _, err := dial(t, f.url).Open(testContext(t), filterAll, []byte{0x61}); !errors.Is(err, ErrConnClosed) {
		t.Errorf("negentropy: %v", err)
	}
}

// Breaking off a query closes it at the relay and frees its slot.
func TestBreakOff(t *testing.T) {
	all := notes(t, 2)
	closed := make(chan string, 100)
	f := startFake(t, func(p *peer) {
		for msg := p.next(); msg != nil; msg = p.next() {
			switch unquote(msg[0]) {
			case "REQ":
				p.send("EVENT", msg[1], all[0])
				p.send("EVENT", msg[1], all[1])
			case "CLOSE":
				closed <- unquote(msg[1])
			}
		}
	})
	c := dial(t, f.url)
	seen := map[string]bool{}
	for range 2 * maxSubscriptions {
		for _, err := range c.Query(testContext(t), filterAll) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		seen[<-closed] = true
	}
	if len(seen) != 2*maxSubscriptions {
		t.Errorf("%d different subscription ids, want %d: an id was used again", len(seen), 2*maxSubscriptions)
	}
}

// A consumer that takes nothing loses its subscription, with an error and
// after all that was queued; another one on the same connection loses nothing.
func TestSlowConsumer(t *testing.T) {
	all := notes(t, 3*queueLength)
	f := startFake(t, serve(all))
	c := dial(t, f.url, func(o *Options) { o.timing.stall = time.Second })
	var slow []nostr.Event
	for e, err := range c.Query(testContext(t), filterAll) {
		if err != nil {
			if !errors.Is(err, ErrSlowConsumer) {
				t.Errorf("slow: %v", err)
			}
			break
		}
		if slow = append(slow, e); len(slow) > 1 {
			continue
		}
		// While this consumer holds up the connection, another asks.
		got, err := collect(t, c, filterAll)
		if err != nil || !slices.Equal(ids(got), ids(all)) {
			t.Errorf("the other got %d events and %v, want all %d", len(got), err, len(all))
		}
	}
	if n := len(slow); n < queueLength || n >= len(all) || !slices.Equal(ids(slow), ids(all[:n])) {
		t.Errorf("slow got %d events, want the first %d or some more", len(slow), queueLength)
	}
}

// What waits to be verified is bounded in bytes, too.
func TestQueueIsBoundedInBytes(t *testing.T) {
	c := dial(t, startFake(t, (*peer).drain).url)
	s, err := c.open(testContext(t), request{filters: []nostr.Filter{filterAll}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	large := delivery{event: make([]byte, nostr.MaxEventBytes)}
	fit := queueBytes / nostr.MaxEventBytes
	for range fit {
		s.deliver(large)
	}
	more := make(chan struct{})
	go func() {
		s.deliver(large)
		close(more)
	}()
	batch := s.drain(nil)
	if len(batch) != fit {
		t.Fatalf("%d large events were queued, want %d", len(batch), fit)
	}
	select {
	case <-more:
		t.Error("taking events made room before they were passed on")
	case <-time.After(10 * time.Millisecond): // it can only fail to see the fault
	}
	s.budget.Release(int64(len(large.event)))
	<-more
}

func TestSubscribe(t *testing.T) {
	url := startHome(t)
	c := dial(t, url)
	all := notes(t, 3)
	if err := reconcile.Write(testContext(t), c, all[0]); err != nil {
		t.Fatal(err)
	}
	var got []nostr.Event
	marks := 0
	for u, err := range c.Subscribe(testContext(t), filterAll) {
		if err != nil {
			t.Fatal(err)
		}
		if u.EOSE {
			if marks++; len(got) != 1 {
				t.Errorf("%d events before EOSE, want 1", len(got))
			}
		} else {
			got = append(got, u.Event)
		}
		if len(got) == len(all) {
			break
		}
		if marks > 0 {
			if err := reconcile.Write(testContext(t), c, all[len(got)]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if marks != 1 || !slices.Equal(ids(got), ids(all)) {
		t.Errorf("got %d events and %d marks", len(got), marks)
	}
}

// authRelay refuses everything until an AUTH event for its challenge comes;
// challengeFirst says whether the challenge precedes the refusal.
func authRelay(challengeFirst bool, accept bool, e nostr.Event) func(*peer) {
	return func(p *peer) {
		authed := false
		for msg := p.next(); msg != nil; msg = p.next() {
			label := unquote(msg[0])
			if label == "AUTH" {
				var auth nostr.Event
				_ = json.Unmarshal(msg[1], &auth)
				authed = accept && auth.Kind == 22242 && auth.Tag("challenge").At(1) == "c1" &&
					strings.HasPrefix(auth.Tag("relay").At(1), "ws://127.0.0.1")
				p.send("OK", auth.ID, authed, "restricted: not you")
				continue
			}
			if !authed {
				if challengeFirst {
					p.send("AUTH", "c1")
				}
				switch label {
				case "REQ":
					p.send("CLOSED", msg[1], "auth-required: who are you?")
				case "EVENT":
					p.send("OK", e.ID, false, "auth-required: who are you?")
				case "NEG-OPEN":
					p.send("NEG-ERR", msg[1], "auth-required: who are you?")
				}
				if !challengeFirst {
					p.send("AUTH", "c1")
				}
				continue
			}
			switch label {
			case "REQ":
				p.send("EVENT", msg[1], e)
				p.send("EOSE", msg[1])
			case "EVENT":
				p.send("OK", e.ID, true, "")
			case "NEG-OPEN":
				p.send("NEG-MSG", msg[1], "61")
			}
		}
	}
}

func TestAuth(t *testing.T) {
	e := notes(t, 1)[0]
	key := func(o *Options) { o.Auth = newKey(t).SignEvent }
	for _, first := range []bool{true, false} {
		f := startFake(t, authRelay(first, true, e))
		if got, err := collect(t, dial(t, f.url, key), filterAll); err != nil || len(got) != 1 {
			t.Errorf("query: %d events, %v", len(got), err)
		}
		if err := reconcile.Write(testContext(t), dial(t, f.url, key), e); err != nil {
			t.Errorf("publish: %v", err)
		}
		c := dial(t, f.url, key)
		s, answer, err := c.Open(testContext(t), filterAll, []byte{0x61})
		if err != nil || len(answer) != 1 {
			t.Errorf("negentropy: %x, %v", answer, err)
		} else {
			s.Close()
		}
	}
	// Whoever needs it shares one AUTH, also when it is refused.
	for _, accept := range []bool{true, false} {
		var signed atomic.Int32
		f := startFake(t, authRelay(true, accept, e))
		sk := newKey(t)
		c := dial(t, f.url, func(o *Options) {
			o.Auth = func(e *nostr.Event) error { signed.Add(1); return sk.SignEvent(e) }
		})
		var wg sync.WaitGroup
		for range 2 * maxSubscriptions {
			wg.Go(func() {
				if _, err := collect(t, c, filterAll); (err == nil) != accept {
					t.Errorf("accepted %v: %v", accept, err)
				}
			})
		}
		wg.Wait()
		if n := signed.Load(); n != 1 {
			t.Errorf("accepted %v: %d AUTH events were signed, want 1", accept, n)
		}
	}
	refusing := startFake(t, authRelay(true, false, e))
	for name, change := range map[string]func(*Options){"no key": func(*Options) {}, "refused key": key} {
		c := dial(t, refusing.url, change)
		if _, err := collect(t, c, filterAll); !reconcile.WantsAuth(err) {
			t.Errorf("%s: query: %v", name, err)
		}
		if err := reconcile.Write(testContext(t), c, e); !reconcile.WantsAuth(err) {
			t.Errorf("%s: publish: %v", name, err)
		}
		if _, _, err := c.Open(testContext(t), filterAll, nil); !reconcile.WantsAuth(err) {
			t.Errorf("%s: negentropy: %v", name, err)
		}
	}
}

// A relay may send its text in binary messages.
func TestQueryReadsBinaryMessages(t *testing.T) {
	note := notes(t, 1)[0]
	f := startFake(t, func(p *peer) {
		id := unquote(p.expect("REQ")[0])
		for _, msg := range [][]byte{nostr.Message("EVENT", id, note), nostr.Message("EOSE", id)} {
			if err := p.ws.Write(p.ctx, websocket.MessageBinary, msg); err != nil {
				t.Error(err)
			}
		}
		p.drain()
	})
	if got, err := collect(t, dial(t, f.url), filterAll); err != nil || len(got) != 1 {
		t.Errorf("%d events, %v", len(got), err)
	}
}

// A relay that refuses by NOTICE is waited for in vain, and quoted.
func TestQueryTellsTheNotice(t *testing.T) {
	for _, notice := range []string{"invalid: limitation.max_limit 300", "ERROR: bad req: too many\x00 filters", ""} {
		synctest.Test(t, func(t *testing.T) {
			c := fakeInFakeTime(t, func(p *peer) {
				p.send("NOTICE", "welcome")
				p.expect("REQ")
				if notice != "" {
					p.send("NOTICE", notice)
				}
				p.drain()
			})
			synctest.Wait() // the welcome was read
			_, err := collect(t, c, filterAll)
			if !errors.Is(err, reconcile.ErrTimeout) || strings.Contains(err.Error(), "notice") != (notice != "") {
				t.Errorf("%q: %v", notice, err)
			}
			if err != nil && !strings.Contains(err.Error(), strings.Split(notice, "\x00")[0]) {
				t.Errorf("%q is not quoted: %v", notice, err)
			}
		})
	}
}

// A relay may end its stored events as often as it likes: whoever listens is told
// once.
func TestEOSEIsPassedOnOnce(t *testing.T) {
	all := notes(t, 1)
	f := startFake(t, func(p *peer) {
		req := p.expect("REQ")
		if req == nil {
			return
		}
		for range 1000 {
			p.send("EOSE", req[0])
		}
		p.send("EVENT", req[0], all[0])
		p.drain()
	})
	marks := 0
	for u, err := range dial(t, f.url).Subscribe(testContext(t), filterAll) {
		if err != nil {
			t.Fatal(err)
		}
		if !u.EOSE {
			break
		}
		marks++
	}
	if marks != 1 {
		t.Errorf("%d marks, want 1", marks)
	}
}
