package relay

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A direct message is found by its id at a relay that keeps it for its parties, and asks
// who we are only when nothing else is asked for, as strfry and our own do.
func TestFindOfADirectMessage(t *testing.T) {
	home := startHome(t)
	ours, other := newKey(t), newKey(t)
	at := time.Now().Unix() - 10
	writer := dial(t, home)
	for name, c := range map[string]struct {
		event nostr.Event
		found bool
	}{
		"to us":            {note(t, other, 4, at, "?iv=", nostr.Tag{"p", ours.PublicKey()}), true},
		"of us":            {note(t, ours, 4, at, "?iv=", nostr.Tag{"p", other.PublicKey()}), true},
		"a gift to us":     {note(t, other, 1059, at, "", nostr.Tag{"p", ours.PublicKey()}), true},
		"between others":   {note(t, other, 4, at, "?iv="), false},
		"a gift to others": {note(t, other, 1059, at, "", nostr.Tag{"p", other.PublicKey()}), false},
	} {
		if reply, err := writer.Publish(testContext(t), c.event); err != nil || !reply.Kept() {
			t.Fatal(reply, err)
		}
		o := testOptions()
		o.Auth = ours.SignEvent
		p := NewPool(o)
		t.Cleanup(p.Close)
		for range 2 { // the second time the relay knows us
			if e, err := p.Find(testContext(t), home, c.event.ID); err != nil || (e != nil) != c.found {
				t.Errorf("%s: %v, %v, want found %t", name, e, err, c.found)
			}
		}
	}
}

// A relay without such kinds is asked for them once, and nobody without a key asks; a
// refusal is no failure of the search.
func TestFindAsksForPrivateEventsOnce(t *testing.T) {
	for name, c := range map[string]struct {
		key    bool
		answer string // to the request for private events
		asked  int
	}{
		"has none": {true, "", 1}, "without a key": {false, "", 0},
		"blocked": {true, "blocked: no such kinds", 1}, "no challenge": {true, "restricted: no", 1},
	} {
		private := make(chan bool, 100)
		f := startFake(t, func(p *peer) {
			for msg := p.next(); msg != nil; msg = p.next() {
				if unquote(msg[0]) != "REQ" {
					continue
				}
				var filter nostr.Filter
				_ = json.Unmarshal(msg[2], &filter)
				if filter.Kinds != nil {
					private <- true
					if c.answer != "" {
						p.send("CLOSED", msg[1], c.answer)
						continue
					}
				}
				p.send("EOSE", msg[1])
			}
		})
		o := testOptions()
		if c.key {
			o.Auth = newKey(t).SignEvent
		}
		p := NewPool(o)
		t.Cleanup(p.Close)
		for _, e := range notes(t, 3) {
			if found, err := p.Find(testContext(t), f.url, e.ID); found != nil || err != nil {
				t.Errorf("%s: %v, %v", name, found, err)
			}
		}
		if len(private) != c.asked {
			t.Errorf("%s: private events were asked for %d times, want %d", name, len(private), c.asked)
		}
	}
}
