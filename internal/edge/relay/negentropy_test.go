package relay

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The refusals that relays were seen to send in place of an answer.
func TestNegentropyRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(p *peer, id any)
		want   error
	}{
		{"strfry's limit", func(p *peer, id any) { p.send("NEG-ERR", id, "blocked: too many query results", 1_000_000) }, reconcile.ErrTooLarge},
		{"limit in prose", func(p *peer, id any) {
			p.send("NEG-ERR", id, "blocked: too many records (2431002 > 1000000)")
		}, reconcile.ErrTooLarge},
		{"limit by name", func(p *peer, id any) { p.send("NEG-ERR", id, "error: max_sync_events exceeded") }, reconcile.ErrTooLarge},
		{"khatru's label", func(p *peer, id any) { p.send("NEG-ERROR", id, "blocked: too large") }, reconcile.ErrTooLarge},
		{"khatru's unescaped reason", func(p *peer, id any) {
			p.send(raw(`["NEG-ERROR","` + id.(string) + `","error: unexpected "x" too large"]`))
		}, reconcile.ErrTooLarge},
		{"unbalanced reason", func(p *peer, id any) {
			p.send(raw(`["NEG-ERROR","` + id.(string) + `","error: one " too large"]`))
		}, reconcile.ErrTooLarge},
		{"switched off", func(p *peer, id any) { p.send("NOTICE", "ERROR: bad msg: negentropy disabled") }, reconcile.ErrNoNegentropy},
		{"unknown command", func(p *peer, id any) { p.send("NOTICE", "ERROR: bad msg: unknown cmd") }, reconcile.ErrNoNegentropy},
		{
			"khatru without 77", func(p *peer, id any) { p.send("NOTICE", "failed to parse envelope: unknown envelope label") },
			reconcile.ErrNoNegentropy,
		},
		{"nostream", func(p *peer, id any) { p.send("NOTICE", `invalid: "[0]" must be one of [EVENT, REQ, CLOSE]`) }, reconcile.ErrNoNegentropy},
		{"an older version", func(p *peer, id any) { p.send("NEG-MSG", id, "60") }, reconcile.ErrNoNegentropy},
		{"a newer version", func(p *peer, id any) { p.send("NEG-MSG", id, "6F") }, reconcile.ErrNoNegentropy},
		{"CLOSED", func(p *peer, id any) { p.send("CLOSED", id, "error: what is this") }, reconcile.ErrNoNegentropy},
		{"ORLY switched off", func(p *peer, id any) { p.send("NEG-ERR", "", "blocked: negentropy not enabled") }, reconcile.ErrNoNegentropy},
		{"session unknown", func(p *peer, id any) { p.send("NEG-ERR", id, "closed: unknown subscription handle") }, reconcile.ErrInterrupted},
		{"auth", func(p *peer, id any) { p.send("NEG-ERR", id, "auth-required: kind 4") }, reconcile.ErrRefused},
		{"two answers", func(p *peer, id any) {
			p.send("NEG-MSG", id, "6x")
		}, reconcile.ErrMisbehaving},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := startFake(t, func(p *peer) {
				if open := p.expect("NEG-OPEN"); open != nil {
					c.answer(p, unquote(open[0]))
				}
				p.drain()
			})
			_, _, err := dial(t, f.url).Open(testContext(t), filterAll, []byte{0x61})
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

// Refusals that say nothing about size or ability must not be taken for it:
// splitting, or giving up on NIP-77, would be wrong.
func TestNegentropyOtherRefusals(t *testing.T) {
	for _, text := range []string{
		"blocked: you are not on the list", "restricted: too many things", "PROTOCOL-ERROR",
		"error: too many concurrent NEG requests", "blocked: too many open subscriptions",
	} {
		err := reconcile.NewSessionRefusal(text)
		if err.Means != nil && !errors.Is(err, reconcile.ErrRefused) {
			t.Errorf("%q is taken for %v", text, err.Means)
		}
	}
}

// Before the first answer, small talk, unasked events and another session's
// messages are passed over; a NOTICE in a running session too.
func TestNegentropyNoise(t *testing.T) {
	e := notes(t, 1)[0]
	f := startFake(t, func(p *peer) {
		open := p.expect("NEG-OPEN")
		if open == nil {
			return
		}
		p.send("NOTICE", "welcome")
		p.send("EVENT", open[0], e)
		p.send("NEG-MSG", "other", "6161")
		p.send("NEG-ERR", "other", "blocked: too large")
		p.send("NEG-MSG", open[0], strings.ToUpper("61ab"))
		if p.expect("NEG-MSG") == nil {
			return
		}
		p.send("NOTICE", "negentropy is disabled on Sundays")
		p.send("EVENT", open[0], e)
		p.send("NEG-MSG", open[0], "")
		p.drain()
	})
	s, answer, err := dial(t, f.url).Open(testContext(t), nostr.Filter{Limit: 5}, []byte{0x61})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(answer, []byte{0x61, 0xab}) {
		t.Errorf("first answer %x", answer)
	}
	// The empty answer with which ORLY says that nothing remains.
	if answer, err = s.Exchange(testContext(t), []byte{0x61}); err != nil || len(answer) != 0 {
		t.Errorf("second answer %x, %v", answer, err)
	}
	s.Close()
	s.Close()
}

func TestNegentropyMessages(t *testing.T) {
	frames := make(chan []string, 10)
	big := strings.Repeat("ab", 1<<20)
	f := startFake(t, func(p *peer) {
		open := p.expect("NEG-OPEN")
		if open == nil {
			return
		}
		frames <- []string{string(open[1]), unquote(open[2])}
		p.send("NEG-MSG", open[0], big)
		frames <- []string{unquote(p.expect("NEG-MSG")[1])}
		// khatru forgets a session after seven idle seconds.
		p.send("NEG-ERROR", open[0], "CLOSED")
		frames <- []string{unquote(p.expect("NEG-MSG")[1])}
		p.send("NEG-ERROR", open[0], "CLOSED")
		p.drain()
	})
	s, answer, err := dial(t, f.url).Open(testContext(t), nostr.Filter{Limit: 5, Kinds: []int{1}}, []byte{0x61, 0})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if hex.EncodeToString(answer) != big {
		t.Errorf("the first answer has %d bytes, want %d", len(answer), len(big)/2)
	}
	if got := <-frames; got[0] != `{"kinds":[1]}` || got[1] != "6100" {
		t.Errorf("NEG-OPEN with %v", got)
	}
	if _, err := s.Exchange(testContext(t), []byte{0x61, 1}); !errors.Is(err, reconcile.ErrInterrupted) {
		t.Errorf("got %v", err)
	}
	for range 2 {
		if got := <-frames; got[0] != "6101" {
			t.Errorf("NEG-MSG with %v", got)
		}
	}
}

// khatru notes a session only after it has answered NEG-OPEN: a message that
// comes between is sent again.
func TestNegentropySessionNotNoted(t *testing.T) {
	f := startFake(t, func(p *peer) {
		open := p.expect("NEG-OPEN")
		if open == nil {
			return
		}
		p.send("NEG-MSG", open[0], "61")
		p.expect("NEG-MSG")
		p.send("NEG-ERROR", open[0], "CLOSED")
		if msg := p.expect("NEG-MSG"); msg != nil {
			p.send("NEG-MSG", open[0], unquote(msg[1]))
		}
		p.drain()
	})
	s, _, err := dial(t, f.url).Open(testContext(t), filterAll, []byte{0x61})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if answer, err := s.Exchange(testContext(t), []byte{0x61, 2}); err != nil || !bytes.Equal(answer, []byte{0x61, 2}) {
		t.Errorf("got %x, %v", answer, err)
	}
}

// More sessions than a connection may have wait for a free one.
func TestNegentropySlots(t *testing.T) {
	f := startFake(t, func(p *peer) {
		for open := p.expect("NEG-OPEN"); open != nil; open = p.expect("NEG-OPEN") {
			p.send("NEG-MSG", open[0], "61")
		}
	})
	c := dial(t, f.url)
	var sessions []reconcile.Session
	for range maxNegSessions {
		s, _, err := c.Open(testContext(t), filterAll, nil)
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	opened := make(chan error)
	go func() {
		s, _, err := c.Open(testContext(t), filterAll, nil)
		if err == nil {
			defer s.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("one session too many: %v", err)
	default:
	}
	for _, s := range sessions {
		s.Close()
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// A real server: everything unknown on our side, so it answers with its split
// or its ids.
func TestNegentropyRealRelay(t *testing.T) {
	c := dial(t, startHome(t))
	all := notes(t, 5)
	for _, e := range all {
		if err := reconcile.Write(testContext(t), c, e); err != nil {
			t.Fatal(err)
		}
	}
	// Version, bound at infinity, fingerprint mode, a fingerprint that is wrong.
	question := append([]byte{0x61, 0, 0, 1}, bytes.Repeat([]byte{7}, 16)...)
	s, answer, err := c.Open(testContext(t), filterAll, question)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, e := range all {
		if !strings.Contains(hex.EncodeToString(answer), e.ID) {
			t.Errorf("the answer lacks %s", e.ID)
		}
	}
}

// After an AUTH, a set that is shown empty is looked at by a REQ: some relays keep
// back in sessions what they give for a REQ, and are listed. A set that is empty,
// or empty in the part that is asked for, is believed.
func TestSessionsThatShowNothingAfterAuth(t *testing.T) {
	for name, x := range map[string]struct {
		events, shown int
		refuse        bool // the session until the AUTH; else the set of strangers is shown, with the challenge
		listed        bool
	}{
		"nothing is shown after a refusal":          {6, 0, true, true},
		"nothing is shown with a bare challenge":    {6, 0, false, true},
		"nothing is there":                          {0, 0, true, false},
		"all is shown after a refusal":              {6, 6, true, false},
		"all is shown to those who said who we are": {6, 6, false, false},
	} {
		all := notes(t, x.events)
		var lists atomic.Int32
		f := startFake(t, func(p *peer) {
			authed, sessions := false, map[string]*negentropy.Reconciler{}
			answer := func(id, msg json.RawMessage) {
				in, _ := hex.DecodeString(unquote(msg))
				out, err := sessions[unquote(id)].Respond(in)
				if err != nil {
					t.Error(err)
				}
				p.send("NEG-MSG", id, hex.EncodeToString(out))
			}
			for msg := p.next(); msg != nil; msg = p.next() {
				var filter nostr.Filter
				if len(msg) > 2 {
					_ = json.Unmarshal(msg[2], &filter)
				}
				switch unquote(msg[0]) {
				case "AUTH":
					var e nostr.Event
					_ = json.Unmarshal(msg[1], &e)
					authed = true
					p.send("OK", e.ID, true, "")
				case "NEG-OPEN":
					var set []negentropy.Item
					for _, e := range all[:x.shown] {
						if id, err := negentropy.ParseID(e.ID); err == nil && authed && filter.Match(&e) {
							set = append(set, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
						}
					}
					sessions[unquote(msg[1])] = negentropy.NewReconciler(negentropy.NewVector(set), negentropy.Options{})
					if !authed {
						p.send("AUTH", "c1")
					}
					if !authed && x.refuse {
						p.send("NEG-ERR", msg[1], "auth-required: for their parties")
						continue
					}
					answer(msg[1], msg[3])
				case "NEG-MSG":
					answer(msg[1], msg[2])
				case "REQ":
					if filter.Limit > 1 && len(filter.IDs) == 0 {
						lists.Add(1)
					}
					for _, e := range all {
						if authed && filter.Match(&e) {
							p.send("EVENT", msg[1], e)
						}
					}
					p.send("EOSE", msg[1])
				}
			}
		})
		o := testOptions()
		o.Auth = newKey(t).SignEvent
		pool := NewPool(o)
		t.Cleanup(pool.Close)
		a := reconcile.Side{Relay: pool.At(startHome(t)), Name: "a"}
		b := reconcile.Side{Relay: reconcile.Classified(pool.At(f.url)), Name: "b"}
		r, err := reconcile.Sync(testContext(t), a, b, filterAll, reconcile.Options{Direction: reconcile.Down})
		if err != nil || !r.Complete || r.OnlyB != x.events || r.ToA != x.events || lists.Load() > 0 != x.listed {
			t.Errorf("%s: %d lists, %v, %+v", name, lists.Load(), err, r)
		}
	}
}
