package relay

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestFindSharesREQs(t *testing.T) {
	all := notes(t, 2*idsPerREQ)
	have := map[string]nostr.Event{}
	for i, e := range all {
		if i%3 != 0 {
			have[e.ID] = e
		}
	}
	reqs := make(chan int, 1000)
	f := startFake(t, countingRelay(have, len(all), reqs))
	p := newPool(t)
	var wg sync.WaitGroup
	for i, want := range all {
		wg.Go(func() {
			e, err := p.Find(testContext(t), f.url+strings.Repeat("/", i%2), want.ID)
			if err != nil || (e == nil) != (i%3 == 0) || (e != nil && e.ID != want.ID) {
				t.Errorf("event %d: %v, %v", i, e, err)
			}
		})
	}
	wg.Wait()
	if n := len(reqs); n > len(all)/10 {
		t.Errorf("%d callers made %d REQs", len(all), n)
	}
	for range len(reqs) {
		if n := <-reqs; n > idsPerREQ {
			t.Errorf("a REQ asked for %d ids, at most %d are accepted everywhere", n, idsPerREQ)
		}
	}
}

// idsOf reads the ids that a REQ asks for.
func idsOf(t *testing.T, req []json.RawMessage) []string {
	var f nostr.Filter
	if err := json.Unmarshal(req[1], &f); err != nil {
		t.Error(err)
	}
	return f.IDs
}

// The first id is asked for at once. Of the two that share the second REQ, the
// relay has one; the other's caller gives up.
func TestFindWaitsForNoOneElse(t *testing.T) {
	all := notes(t, 3)
	first, second, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	f := startFake(t, func(p *peer) {
		if ids := idsOf(t, p.expect("REQ")); len(ids) != 1 || ids[0] != all[0].ID {
			t.Errorf("the first REQ asks for %v", ids)
		}
		close(first)
		req := p.expect("REQ")
		if ids := idsOf(t, req); len(ids) != 2 {
			t.Errorf("the second REQ asks for %v", ids)
		}
		p.send("EVENT", req[0], all[1]) // and no EOSE
		close(second)
		for msg := p.expect("CLOSE"); msg != nil; msg = p.expect("CLOSE") {
			if unquote(msg[0]) == unquote(req[0]) {
				close(closed)
			}
		}
	})
	p := newPool(t)
	var wg sync.WaitGroup
	impatient, giveUp := context.WithCancel(testContext(t))
	defer giveUp()
	find := func(id string) {
		wg.Go(func() {
			if _, err := p.Find(impatient, f.url, id); !errors.Is(err, context.Canceled) {
				t.Errorf("an answer that did not come: %v", err)
			}
		})
	}
	find(all[0].ID)
	receive(t, first)
	gathered := p.newFinding() // by hand, as this machine may be slow
	answer, none := make(chan foundEvent, 1), make(chan foundEvent, 1)
	gathered.want[all[1].ID] = []chan foundEvent{answer}
	gathered.want[all[2].ID] = []chan foundEvent{none}
	gathered.waiting = 2
	p.finder.mu.Lock()
	p.spawn(f.url, gathered)
	p.finder.mu.Unlock()
	receive(t, second)
	if a := <-answer; a.err != nil || a.event == nil || a.event.ID != all[1].ID {
		t.Errorf("got %+v", a)
	}
	p.leave(gathered, all[2].ID, none)
	receive(t, closed)
	giveUp()
	wg.Wait()
}

// Who comes after all others have left is not given up with them.
func TestFindDoesNotJoinWhoLeft(t *testing.T) {
	p := newPool(t)
	const url = "ws://127.0.0.1:1"
	p.finder.next[url] = nil // gathering
	answer := make(chan foundEvent, 1)
	left := p.want(url, "a", answer)
	p.leave(left, "a", answer)
	joined := p.want(url, "b", answer)
	if joined.ctx.Err() != nil || joined.waiting != 1 || len(joined.want) != 1 {
		t.Errorf("%v, %d wait for %v", joined.ctx.Err(), joined.waiting, joined.want)
	}
	p.leave(joined, "b", answer)
}

func TestFindTakesNoForgery(t *testing.T) {
	all := notes(t, 2)
	forged, unsigned := all[0], all[0]
	forged.Content = "other words"
	unsigned.Sig = all[1].Sig
	p := newPool(t)
	for name, answer := range map[string]nostr.Event{"another content": forged, "another signature": unsigned, "another event": all[1]} {
		f := startFake(t, serve([]nostr.Event{answer}))
		if e, err := p.Find(testContext(t), f.url, all[0].ID); err != nil || e != nil {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
}

func TestFindSaysWhatWentWrong(t *testing.T) {
	f := startFake(t, func(p *peer) {
		for req := p.expect("REQ"); req != nil; req = p.expect("REQ") {
			p.send("CLOSED", req[0], "restricted: members only")
		}
	})
	p := NewPool(testOptions())
	id := notes(t, 1)[0].ID
	if e, err := p.Find(testContext(t), f.url, id); e != nil || !errors.As(err, new(*reconcile.RefusedError)) {
		t.Errorf("a refusal: %v, %v", e, err)
	}
	if _, err := p.Find(testContext(t), "http://relay.example.com", id); err == nil {
		t.Error("an address that is no relay's")
	}
	p.Close()
	if _, err := p.Find(testContext(t), f.url, id); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a closed pool: %v", err)
	}
}
