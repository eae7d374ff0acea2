package homerelay

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func (c *rawClient) sendEvent(kind string, e *nostr.Event) {
	c.t.Helper()
	c.send(string(nostr.Message(kind, e)))
}

// A protected event (NIP-70) is taken from its author alone (NIP-42).
func TestProtectedEvents(t *testing.T) {
	r := startRelay(t, "")
	c := dialRaw(t, r.URL())
	author, now := newSigner(t), time.Now().Unix()
	private := author.event(1, now, "", nostr.Tag{"-"})
	host := strings.TrimPrefix(r.URL(), "ws://")
	auth := func(by signer, challenge, relay string, at int64) *nostr.Event {
		return by.event(22242, at, "", nostr.Tag{"challenge", challenge}, nostr.Tag{"relay", relay})
	}
	// Before the relay has asked, nothing is a proof.
	c.sendEvent("AUTH", auth(author, "", r.URL(), now))
	c.expect("OK", anything, false, "invalid: challenge…")
	c.sendEvent("EVENT", private)
	challenge := c.expect("AUTH")[1].(string)
	c.expect("OK", private.ID, false, "auth-required: …")
	forged := auth(author, challenge, r.URL(), now)
	forged.Sig = private.Sig
	for want, e := range map[string]*nostr.Event{
		"invalid: kind…":       author.event(1, now, "", nostr.Tag{"challenge", challenge}, nostr.Tag{"relay", r.URL()}),
		"invalid: challenge…":  auth(author, challenge+"x", r.URL(), now),
		"invalid: relay…":      auth(author, challenge, "wss://elsewhere.example", now),
		"invalid: created_at…": auth(author, challenge, r.URL(), now-authWindow-5),
		"invalid: sig…":        forged,
	} {
		c.sendEvent("AUTH", e)
		c.expect("OK", e.ID, false, want)
	}
	// Neither is another's key, nor AUTH as an EVENT.
	c.sendEvent("AUTH", auth(newSigner(t), challenge, r.URL(), now))
	c.expect("OK", anything, true)
	c.sendEvent("EVENT", private)
	c.expect("OK", private.ID, false, "restricted: …")
	good := auth(author, challenge, "ws://"+strings.ToUpper(host)+"/", now)
	c.sendEvent("EVENT", good)
	c.expect("OK", good.ID, false, "invalid: kind 22242…")
	c.sendEvent("AUTH", good)
	c.expect("OK", good.ID, true)
	c.sendEvent("EVENT", private)
	c.expect("OK", private.ID, true)
	// What another relay wrapped is not spread either.
	text := string(nostr.Encode(private))
	for _, text := range []string{text, strings.Replace(text, `"kind":1,`, `"kind":1.0,"TAGS":[],`, 1)} {
		repost := newSigner(t).event(6, now, text)
		c.sendEvent("EVENT", repost)
		c.expect("OK", repost.ID, false, "blocked: …")
	}
}

// anything stands for any string; see expect.
const anything = "…"

// The same id replaces a subscription, however often, and what was replaced
// sends nothing more.
func TestSubscriptionIsReplaced(t *testing.T) {
	r := startRelay(t, "")
	author := newSigner(t)
	insertMany(t, r.store, rand.New(rand.NewPCG(7, 8)), 600)
	last := author.event(7, 1, "stored")
	mustInsert(t, r.store, last)
	c := dialRaw(t, r.URL())
	go func() {
		for range 500 {
			c.send(`["REQ","a",{"kinds":[1]}]`)
		}
		c.send(`["REQ","a",{"kinds":[7]}]`)
	}()
	for {
		if m := c.next(); m[0] == "EVENT" && m[2].(map[string]any)["id"] == last.ID {
			break
		}
	}
	c.expect("EOSE", "a")
	r.clients.publish(author.event(1, 1, ""))
	r.clients.publish(author.event(7, 2, ""))
	if m := c.expect("EVENT", "a"); m[2].(map[string]any)["kind"] != 7.0 {
		t.Errorf("a replaced subscription is alive: %v", m)
	}
}

// A signature is of this event, by this author, or the event is refused; its
// id alone says nothing.
func TestForgedSignatures(t *testing.T) {
	r := startRelay(t, "")
	c := dialRaw(t, r.URL())
	author := newSigner(t)
	good, other := author.event(1, 1000, "a"), newSigner(t).event(1, 1000, "a")
	swapped, mauled, key := *good, *good, *good
	swapped.Sig = other.Sig
	mauled.Sig = "0" + good.Sig[1:]
	if good.Sig[0] == '0' {
		mauled.Sig = "1" + good.Sig[1:]
	}
	key.PubKey = strings.Repeat("f", 64) // no point of the curve
	key.ID = key.Hash()
	for e, want := range map[*nostr.Event]string{&swapped: "invalid: sig…", &mauled: "invalid: sig…", &key: "invalid: pubkey…"} {
		c.sendEvent("EVENT", e)
		c.expect("OK", e.ID, false, want)
	}
	if got := idsOf(t, r.store, nostr.Filter{}); len(got) != 0 {
		t.Errorf("%d forgeries were stored", len(got))
	}
	c.sendEvent("EVENT", good)
	c.expect("OK", good.ID, true, "")
	c.sendEvent("EVENT", good)
	c.expect("OK", good.ID, true, "duplicate: …")
}

// Further keys play no part and are not spread; and live and stored events have
// the bytes that their author gave them.
func TestEventsAreServedByteForByte(t *testing.T) {
	r := startRelay(t, "")
	c := dialRaw(t, r.URL())
	e := newSigner(t).event(1, 1000, "<>&\u2028\u2029 / é")
	text := nostr.Encode(e)
	c.send(`["REQ","<live>",{"kinds":[1]}]`)
	c.expect("EOSE", "<live>")
	c.sendf(`["EVENT",{"ots":"AE9w","seen_on":["wss://a.example"],%s]`, text[1:])
	got := map[string]bool{}
	for range 2 {
		got[c.text()] = true
	}
	if !got[fmt.Sprintf(`["EVENT","<live>",%s]`, text)] || !got[fmt.Sprintf(`["OK",%q,true,""]`, e.ID)] {
		t.Errorf("the relay sent %v", got)
	}
	c.sendf(`["REQ","stored",{"ids":[%q]}]`, e.ID)
	if got, want := c.text(), fmt.Sprintf(`["EVENT","stored",%s]`, text); got != want {
		t.Errorf("stored: %s\nwant %s", got, want)
	}
}

func TestSubscriptionLimits(t *testing.T) {
	c := dialRaw(t, startRelay(t, "").URL())
	for i := range maxSubscriptions {
		c.sendf(`["REQ","s%d",{}]`, i)
		c.expect("EOSE")
	}
	c.send(`["REQ","more",{}]`)
	c.expect("CLOSED", "more", "blocked: too many concurrent subscriptions")
	c.send(`["REQ","s0",{}]`)
	c.expect("EOSE", "s0")
	c.send(`["CLOSE","s0"]`)
	c.send(`["REQ","more",{}]`)
	c.expect("EOSE", "more")
	// Large filters count by their size: two of these are allowed.
	large := strings.Repeat("x", maxMessage-100)
	refused := 0
	c = dialRaw(t, startRelay(t, "").URL())
	for i := range 20 {
		c.sendf(`["REQ","s%d",{"#t":["%s"]}]`, i, large)
		if m := c.next(); m[0] == "CLOSED" {
			refused++
		}
	}
	if refused != 18 {
		t.Errorf("%d of 20 large filters were refused, want 18", refused)
	}
	c.send(`["CLOSE","s0"]`)
	c.sendf(`["REQ","again",{"#t":["%s"]}]`, large)
	c.expect("EOSE", "again")
}

// Browsers cannot take the connections of other programs, and a connection that
// ends frees one.
func TestConnectionLimits(t *testing.T) {
	r := startRelay(t, "")
	page := func() (*websocket.Conn, bool) {
		t.Helper()
		ws, resp, err := websocket.Dial(t.Context(), r.URL(), &websocket.DialOptions{ //nolint:bodyclose // Dial has read it
			HTTPHeader: http.Header{"Origin": {"https://page.example"}},
		})
		if err != nil && (resp == nil || resp.StatusCode != http.StatusServiceUnavailable) {
			t.Fatal(err)
		}
		return ws, err == nil
	}
	var open []*websocket.Conn
	for range maxConnections {
		ws, ok := page()
		if !ok {
			t.Fatalf("only %d connections of pages", len(open))
		}
		c := rawClient{t, t.Context(), ws}
		c.alive() // and subscribed
		open = append(open, ws)
	}
	if _, ok := page(); ok {
		t.Error("one page too many was admitted")
	}
	dialRaw(t, r.URL()).alive()
	for _, ws := range open {
		ws.CloseNow()
	}
	for { // until the relay has noticed one of them
		if ws, ok := page(); ok {
			ws.CloseNow()
			break
		}
	}
}

// A page of any origin may read the NIP-11 document, and others see a hint.
func TestPlainHTTP(t *testing.T) {
	r := startRelay(t, "")
	url := "http" + strings.TrimPrefix(r.URL(), "ws")
	for _, test := range []struct {
		method, accept, contentType string
		status                      int
	}{
		{"GET", "application/nostr+json", "application/nostr+json", 200},
		{"GET", "text/html;q=0.5, Application/Nostr+JSON", "application/nostr+json", 200},
		{"GET", "text/html", "text/plain; charset=utf-8", 200},
		{"OPTIONS", "", "", 204},
		{"POST", "", "text/plain; charset=utf-8", 405},
	} {
		req, err := http.NewRequestWithContext(t.Context(), test.method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", test.accept)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != test.status || resp.Header.Get("Content-Type") != test.contentType ||
			resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%+v: got %d, %v", test, resp.StatusCode, resp.Header)
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// Close ends connections that are in use, and returns when nothing runs.
func TestCloseWhileBusy(t *testing.T) {
	r := startRelay(t, "")
	c := dialRaw(t, r.URL())
	for i := range 5 {
		c.sendf(`["REQ","s%d",{}]`, i)
		c.sendf(`["NEG-OPEN","n%d",{},"61"]`, i)
	}
	for range 10 {
		c.next()
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.ws.Read(c.ctx); err == nil || errors.Is(err, c.ctx.Err()) {
		t.Errorf("after Close: %v", err)
	}
	if n := len(r.clients.open); n != 0 {
		t.Errorf("%d clients are left", n)
	}
	if _, err := r.store.Has(fmt.Sprintf("%064d", 0)); err == nil {
		t.Error("the store is open")
	}
}

// What a client sends along with its handshake is not lost.
func TestMessageWithTheHandshake(t *testing.T) {
	t.Parallel()
	r := startRelay(t, "")
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.URL(), "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	text := `["REQ","early",{"ids":[]}]`
	frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...) // the mask is 0
	handshake := "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := conn.Write(append([]byte(handshake), frame...)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 0, 1024)
	for !strings.HasSuffix(string(answer), `["EOSE","early"]`) {
		n, err := conn.Read(answer[len(answer):cap(answer)])
		if answer = answer[:len(answer)+n]; err != nil {
			t.Fatalf("%v after %q", err, answer)
		}
	}
}
