package relay

import (
	"encoding/json"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A relay that challenges without a refusal is answered once, before anything
// is asked of it that comes later; more challenges are not.
func TestABareChallengeIsAnsweredOnce(t *testing.T) {
	challenged, asked := make(chan struct{}), make(chan string, 10)
	f := startFake(t, func(p *peer) {
		p.send("AUTH", "c1")
		p.send("AUTH", "c2")
		p.send("AUTH", "c3")
		close(challenged)
		for msg := p.next(); msg != nil; msg = p.next() {
			switch label := unquote(msg[0]); label {
			case "AUTH":
				var e nostr.Event
				_ = json.Unmarshal(msg[1], &e)
				asked <- label + " " + e.Tag("challenge").At(1)
				p.send("OK", e.ID, true, "")
			case "REQ":
				asked <- label
				p.send("EOSE", msg[1])
			}
		}
	})
	var signed atomic.Int32
	sk := newKey(t)
	c := dial(t, f.url, func(o *Options) {
		o.Auth = func(e *nostr.Event) error { signed.Add(1); return sk.SignEvent(e) }
	})
	receive(t, challenged)
	first := receive(t, asked)
	for range 3 {
		if _, err := collect(t, c, filterAll); err != nil {
			t.Error(err)
		}
		if got := receive(t, asked); got != "REQ" {
			t.Errorf("got %s", got)
		}
	}
	// Of challenges that come at once it may be any that is the latest.
	if first != "AUTH c1" && first != "AUTH c2" && first != "AUTH c3" || signed.Load() != 1 {
		t.Errorf("the first is %s; signed %d times", first, signed.Load())
	}

	// Without a key there is nobody to introduce.
	closed := make(chan struct{})
	f = startFake(t, func(p *peer) {
		p.send("AUTH", "c1")
		if msg := p.next(); msg == nil || unquote(msg[0]) != "REQ" {
			t.Errorf("got %s", msg)
		} else {
			p.send("EOSE", msg[1])
		}
		close(closed)
		p.drain()
	})
	if _, err := collect(t, dial(t, f.url), filterAll); err != nil {
		t.Error(err)
	}
	receive(t, closed)
}

// A relay that shows strangers a part, and asks who we are in the midst of it, is
// asked again: all comes, and nothing twice.
func TestAChallengeInTheMidstOfAnAnswer(t *testing.T) {
	all := notes(t, 4)
	for name, end := range map[string]func(p *peer, id json.RawMessage){
		"EOSE":              func(p *peer, id json.RawMessage) { p.send("EOSE", id) },
		"CLOSED":            func(p *peer, id json.RawMessage) { p.send("CLOSED", id, "auth-required: some kinds") },
		"CLOSED, no reason": func(p *peer, id json.RawMessage) { p.send("CLOSED", id) },
		"CLOSED, no prefix": func(p *peer, id json.RawMessage) { p.send("CLOSED", id, "please log in") },
	} {
		f := startFake(t, func(p *peer) {
			authed := false
			for msg := p.next(); msg != nil; msg = p.next() {
				switch unquote(msg[0]) {
				case "AUTH":
					var e nostr.Event
					_ = json.Unmarshal(msg[1], &e)
					authed = true
					p.send("OK", e.ID, true, "")
				case "REQ":
					p.send("EVENT", msg[1], all[2])
					if !authed {
						p.send("AUTH", "c1")
						end(p, msg[1])
						continue
					}
					for _, e := range []nostr.Event{all[0], all[1], all[3]} {
						p.send("EVENT", msg[1], e)
					}
					p.send("EOSE", msg[1])
				}
			}
		})
		withKey := func(o *Options) { o.Auth = newKey(t).SignEvent }
		got, err := collect(t, dial(t, f.url, withKey), filterAll)
		if want := ids([]nostr.Event{all[2], all[0], all[1], all[3]}); err != nil || !slices.Equal(ids(got), want) {
			t.Errorf("%s: %d events, want 4, each once; %v", name, len(got), err)
		}
		// Live, the mark comes when all has come.
		n := 0
		for u, err := range dial(t, f.url, withKey).Subscribe(testContext(t), filterAll) {
			if err != nil {
				t.Errorf("%s: live: %v", name, err)
			}
			if err != nil || u.EOSE {
				break
			}
			n++
		}
		if n != 4 {
			t.Errorf("%s: live: %d events before the mark, want 4", name, n)
		}
	}
}
