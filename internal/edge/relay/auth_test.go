package relay

import (
	"encoding/json"
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
