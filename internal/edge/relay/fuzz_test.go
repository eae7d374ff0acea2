package relay

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/sync/semaphore"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// idleConn is a connection on which a subscription "s", a session "n" and an
// event "e" wait for the relay, without its socket and goroutines.
func idleConn() (*Conn, *subscription, *NegSession) {
	c := &Conn{
		url: "ws://127.0.0.1:7777", opts: Options{}.withDefaults(), log: slog.New(slog.DiscardHandler), out: make(chan []byte, 64),
		subSlots: semaphore.NewWeighted(maxSubscriptions), liveSlots: semaphore.NewWeighted(maxLive),
		negSlots: make(chan struct{}, maxNegSessions), pubSlots: make(chan struct{}, maxPublishing),
		negOpening: make(chan struct{}, 1), subs: map[string]*subscription{}, negs: map[string]*NegSession{},
		oks:  map[string][]chan reconcile.Reply{},
		auth: authState{arrived: make(chan struct{})},
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	s := &subscription{
		id: "s", conn: c, ctx: c.ctx, queue: make(chan delivery, queueLength), budget: semaphore.NewWeighted(queueBytes),
		ended: make(chan struct{}),
	}
	n := &NegSession{id: "n", conn: c, frames: make(chan []byte, 1), ended: make(chan struct{})}
	c.negSlots <- struct{}{}
	c.subs["s"], c.negs["n"], c.oks["e"] = s, n, []chan reconcile.Reply{make(chan reconcile.Reply, 1)}
	return c, s, n
}

func TestALongChallengeIsNotSigned(t *testing.T) {
	for n, want := range map[int]bool{1: true, maxChallenge: true, maxChallenge + 1: false} {
		c, _, _ := idleConn()
		if err := c.dispatch([]byte(`["AUTH","` + strings.Repeat("x", n) + `"]`)); err != nil || (c.auth.challenge != "") != want {
			t.Errorf("a challenge of %d bytes: %v, kept %d", n, err, len(c.auth.challenge))
		}
		c.cancel(nil)
	}
}

// FuzzDispatch hands a connection what a relay sends, message after message. It
// keeps what is for somebody, drops the rest, and gives up on relays that
// misbehave for no other reason.
func FuzzDispatch(f *testing.F) {
	for _, text := range []string{
		`["EVENT","s",{"id":"00","kind":1}]`, `["EVENT","s"]`, `["EVENT","other",{}]`, `["EVENT","s",[[[[[["]"]]]]]]]`, `["EOSE","s"]`,
		`["CLOSED","s","auth-required: x"]`,
		`["CLOSED","n","blocked: x"]`, `["OK","e",true,""]`, `["OK","e",false,"invalid: \ud800"]`, `["OK","e"]`, `["AUTH","challenge"]`,
		`["AUTH",{}]`, `["NOTICE","negentropy disabled"]`,
		`["NEG-MSG","n","6100"]`, `["NEG-MSG","n","xyz"]`, `["NEG-ERR","n","blocked: too many query results","1000000"]`, `["NEG-ERR","","x"]`,
		`["NEG-ERR","n","a "quoted" word"]`, `["NEG-ERROR","n","CLOSED"]`, `[]`, `[1]`, `{}`, "", "[\"EVENT\",\"s\",\"\\u0000", `[["EVENT"],"s"]`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, s, n := idleConn()
		defer c.cancel(nil)
		for range 3 { // what comes again must be welcome, too
			if err := c.dispatch(data); err != nil && !errors.Is(err, reconcile.ErrMisbehaving) {
				t.Errorf("%q: %v", data, err)
			}
		}
		c.cancel(nil)
		c.running.Wait()
		for len(s.queue) > 0 {
			if d := <-s.queue; len(d.event) > nostr.MaxEventBytes ||
				!d.eose && !json.Valid(data) && json.Valid(d.event) && len(d.event) > len(data) {
				t.Errorf("%q: passed on %q", data, d.event)
			}
		}
		if len(n.frames) > 1 || len(c.oks["e"]) > 1 || c.opts.account.debt > int64(3*max(len(data), frameCost)) {
			t.Errorf("%q: %d frames, %d bytes astray", data, len(n.frames), c.opts.account.debt)
		}
	})
}

// FuzzInfo reads NIP-11 documents. What is read is the document's or nothing, and
// the extension of HORNETS relays is believed only with a signature.
func FuzzInfo(f *testing.F) {
	for _, text := range []string{
		`{"name":"x","supported_nips":[1,"77",-5,1e3,null],"limitation":{"max_message_length":131072,"auth_required":"no"}}`,
		`{"limitation":{"max_message_length":-1}}`, `{"limitation":{"max_message_length":9223372036854775807}}`, `{"limitation":[]}`, `[]`,
		`null`, `{"supported_nips":{}}`,
		`{"pubkey":"00","hornet_extension":{"libp2p_id":"16Uiu2HAm","libp2p_addrs":["/ip4/127.0.0.1/tcp/1"],` +
			`"signature":"00","last_updated":"2024-01-01T00:00:00Z"}}`,
		`{"hornet_extension":{"libp2p_addrs":null}}`, `{"hornet_extension":7}`, `{"name":1e999,"pubkey":["x"]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var info Info
		if json.Unmarshal(data, &info) != nil {
			return
		}
		if _, err := info.Hornets(); err == nil {
			t.Errorf("%q is signed", data)
		}
		if frame := info.limits().Accepts; frame > 60_000 || frame < 0 {
			t.Errorf("%q: frames of %d bytes", data, frame)
		}
	})
}
