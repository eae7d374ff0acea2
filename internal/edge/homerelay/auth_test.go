package homerelay

import (
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// An AUTH is for this relay if its URL is one of ours, or one that the client dialled
// and no relay of strangers can have; clients choose the header Host.
func TestAuthIsForThisRelay(t *testing.T) {
	r := startConfig(t, Config{URL: "wss://relay.example.com/nostr"})
	port := r.URL()[len("ws://127.0.0.1:"):]
	for _, test := range []struct {
		host, relay string
		want        bool
	}{
		{"127.0.0.1:" + port, r.URL(), true},
		{"127.0.0.1:" + port, r.URL() + "/", true},
		{"127.0.0.1:" + port, "wss://127.0.0.1:" + port + "/nostr?x=1", true},
		{"localhost:" + port, "ws://LocalHost:" + port, true},
		{"whatever.example", "ws://localhost:" + port, true},
		{"127.0.0.1:" + port, "wss://relay.example.com", true},
		{"relay.example.com:443", "wss://Relay.Example.com:443/", true},
		{"raspberry.local:7777", "ws://raspberry.local:7777", true},
		{"relay:80", "ws://relay", true},
		{"10.0.0.7:7777", "ws://10.0.0.7:7777/", true},
		{"[fd00::7]:7777", "ws://[FD00::7]:7777/", true},

		{"127.0.0.1:" + port, "ws://127.0.0.1:1", false},
		{"127.0.0.1:" + port, "http://127.0.0.1:" + port, false},
		{"127.0.0.1:" + port, "127.0.0.1:" + port, false},
		{"127.0.0.1:" + port, "", false},
		{"", "", false},
		{"", "ws://", false},
		{"elsewhere.example", "wss://elsewhere.example", false},
		{"elsewhere.example:25", "ws://elsewhere.example:25", false},
		{"relay.example.com.elsewhere.example", "wss://relay.example.com.elsewhere.example", false},
		{"8.8.8.8:7777", "ws://8.8.8.8:7777", false},
		{"elsewhere.onion", "ws://elsewhere.onion", false},
		{"elsewhere.i2p:80", "ws://elsewhere.i2p", false},
		{"10.0.0.7:7777", "ws://10.0.0.8:7777", false},
		{"relay.local", "wss://relay.example.com@elsewhere.example", false},
	} {
		c := &client{relay: r, host: test.host}
		if got := c.isThisRelay(test.relay); got != test.want {
			t.Errorf("dialled as %q, for %q: %v, want %v", test.host, test.relay, got, test.want)
		}
	}
}

// Signatures of AUTH take their turns like those of events.
func TestAuthTakesTurns(t *testing.T) {
	r := startRelay(t, "")
	by, now := newSigner(t), time.Now().Unix()
	flooded := &Relay{store: r.store, ledger: newLedger(shares), working: newGate(2)}
	flooded.working.enter(t.Context(), testParty("192.0.2.2/32"), 1, 1) // so that it remembers
	flood := &holding{party: testParty("192.0.2.1/32")}
	c := &client{relay: flooded, ctx: t.Context(), hold: flood, out: make(chan []byte, 10), challenged: "x"}
	c.viewer.Store(&viewer{})
	forged := by.event(nostr.KindAuth, now, "", nostr.Tag{"challenge", "x"}, nostr.Tag{"relay", r.URL()})
	forged.Sig = by.event(1, now, "").Sig
	for range 10 {
		c.dispatch(nostr.Message("AUTH", forged))
		if answer := string(<-c.out); !strings.Contains(answer, "invalid: sig") {
			t.Fatalf("answered %s", answer)
		}
	}
	if cost := flooded.working.finished[c.hold.party]; cost < 10*verifying {
		t.Errorf("ten signatures count as %.0f bytes, want %d", cost, 10*verifying)
	}
}
