package relay

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 has it
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// wirePeer is the relay's end of a websocket whose frames are made by hand.
type wirePeer struct {
	net.Conn
	*bufio.Writer
}

// frame is the frame of a server, whose payload is shorter than 64 KiB.
func frame(first byte, payload string) string {
	if len(payload) < 126 {
		return string([]byte{first, byte(len(payload))}) + payload
	}
	return string([]byte{first, 126, byte(len(payload) >> 8), byte(len(payload))}) + payload
}

const (
	fin        = 0x80
	textFrame  = fin | 1
	pingFrame  = fin | 9
	pongFrame  = fin | 10
	binaryData = fin | 2
)

// startWire starts a relay that answers every handshake, with lines of a header of
// its own, and then runs the script.
func startWire(t *testing.T, script func(wirePeer), header ...string) (url string, dials *atomic.Int32) {
	t.Helper()
	dials = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dials.Add(1)
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
			base64.StdEncoding.EncodeToString(sum[:]), strings.Join(header, ""))
		if rw.Flush() != nil {
			return
		}
		go func() { // what it is sent is nothing to it
			for buf := make([]byte, 4096); ; {
				if _, err := conn.Read(buf); err != nil {
					return
				}
			}
		}()
		script(wirePeer{conn, bufio.NewWriterSize(conn, 64<<10)})
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http"), dials
}

// flood sends one thing until the connection ends; the first message, if there is
// one, is sent once before.
func flood(first, what string) func(wirePeer) {
	return func(p wirePeer) {
		_, err := p.WriteString(first)
		for err == nil {
			_, err = p.WriteString(what)
		}
	}
}

// ended awaits the end of a connection, for misbehaving.
func ended(t *testing.T, c *Conn) {
	t.Helper()
	select {
	case <-c.Done():
	case <-testContext(t).Done():
		t.Fatal("the connection lives on")
	}
	if err := c.Err(); !errors.Is(err, reconcile.ErrMisbehaving) || errors.Is(err, ErrConnClosed) {
		t.Errorf("got %v", err)
	}
}

// almost is the account of a host that has little left, so that a test need not
// send it all.
func almost() *account { return &account{debt: maxStrayBytes - 1000*frameCost, at: time.Now()} }

// What a relay sends beyond what it is asked for ends the connection, however
// small each piece is, and below messages, too.
func TestWorkThatNobodyAskedForEndsTheConnection(t *testing.T) {
	id, sig := strings.Repeat("0", 64), strings.Repeat("7", 16<<10)
	text := func(s string) string { return frame(textFrame, s) }
	for name, c := range map[string]struct{ first, what string }{
		"EOSE of no subscription":             {"", text(`["EOSE","none"]`)},
		"EOSE again":                          {text(`["EOSE","r1"]`), text(`["EOSE","r1"]`)},
		"CLOSED of no subscription":           {"", text(`["CLOSED","none","error: no"]`)},
		"OK of no event":                      {"", text(`["OK","` + id + `",true,""]`)},
		"NEG-MSG of no session":               {"", text(`["NEG-MSG","none","61"]`)},
		"NEG-ERR of no session":               {"", text(`["NEG-ERR","none","closed"]`)},
		"NEG-ERR of none, with a stray quote": {"", text(`["NEG-ERR","none","a "quote"]`)},
		"NEG-ERR of all, where there is none": {"", text(`["NEG-ERR","","closed"]`)},
		"AUTH again":                          {"", text(`["AUTH","challenge"]`)},
		"AUTH too long":                       {"", text(`["AUTH","` + strings.Repeat("x", maxChallenge+1) + `"]`)},
		"an unknown message":                  {"", text(`["COUNT","r1",{"count":1}]`)},
		"no array":                            {"", text(`{}`)},
		"nothing":                             {"", text("")},
		"an event without one":                {"", text(`["EVENT","r1"]`)},
		"binary frames":                       {"", frame(binaryData, "")},
		"large binary frames":                 {"", frame(binaryData, sig)},
		"pings":                               {"", frame(pingFrame, "")},
		"pings of the longest":                {"", frame(pingFrame, sig[:125])},
		"pongs":                               {"", frame(pongFrame, "")},
		"empty fragments":                     {frame(1, `["EVENT`), frame(0, "")},
		"fragments of a byte":                 {frame(1, `["EVENT`), frame(0, " ")},
		"empty fragments of a binary message": {frame(2, ""), frame(0, "")},
		"fragments and pings":                 {frame(1, ""), frame(0, "") + frame(pingFrame, "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := startWire(t, flood(c.first, c.what))
			conn := dial(t, url, func(o *Options) { o.account = almost() })
			go func() { // until the connection ends
				for range conn.Subscribe(t.Context(), filterAll) {
					continue
				}
			}()
			ended(t, conn)
		})
	}
}

// One event, or a few in turn, is sent to a live subscription again and again:
// whatever the spelling, each was to be verified.
func TestEventsAgainAndAgainEndTheConnection(t *testing.T) {
	events := notes(t, 3)
	for name, spell := range map[string]func(i int, e []byte) string{
		"as it was":   func(_ int, e []byte) string { return string(e) },
		"with blanks": func(i int, e []byte) string { return strings.Repeat(" ", i%100) + string(e) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := startWire(t, func(p wirePeer) {
				_, err := p.WriteString(frame(textFrame, `["EOSE","r1"]`))
				for i := 0; err == nil; i++ {
					e, _ := json.Marshal(events[i%len(events)])
					_, err = p.WriteString(frame(textFrame, `["EVENT","r1",`+spell(i, e)+`]`))
				}
			})
			conn := dial(t, url, func(o *Options) { o.account = almost() })
			got := map[string]bool{}
			for u, err := range conn.Subscribe(testContext(t), filterAll) {
				if err != nil && !errors.Is(err, reconcile.ErrMisbehaving) {
					t.Error(err)
				}
				got[u.Event.ID] = true
			}
			ended(t, conn)
			if len(got) < len(events) {
				t.Errorf("%d of the events were passed on", len(got))
			}
		})
	}
}

// A message that comes a byte at a time is work, too, though it is one message.
func TestAMessageByteByByteEndsTheConnection(t *testing.T) {
	read := make(chan struct{}, 1)
	url, _ := startWire(t, func(p wirePeer) {
		message := frame(textFrame, strings.Repeat(" ", 60<<10))
		for i := range len(message) {
			if _, err := p.Conn.Write([]byte{message[i]}); err != nil {
				return
			}
			select {
			case <-read:
			case <-t.Context().Done():
				return
			}
		}
	})
	o := testOptions().withDefaults()
	o.account = almost()
	client := o.countingClient(nil)
	client.Transport = counting{tellingReads{client.Transport, read}, client.Transport.(counting).charge}
	ws, _, err := websocket.Dial(testContext(t), url, &websocket.DialOptions{HTTPClient: client}) //nolint:bodyclose // it is the socket
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(maxMessage)
	c := newConn(ws, url, o)
	t.Cleanup(c.Close)
	ended(t, c)
}

// The whole bound, from nothing, by the cheapest and the dearest of frames; and
// the host has it before the next connection, on other paths as well, and the
// other connections go on.
func TestAHostThatCostTooMuchIsNotDialledAgain(t *testing.T) {
	for name, what := range map[string]string{
		"EOSE":      frame(textFrame, `["EOSE","none"]`),
		"fragments": frame(1, "") + strings.Repeat(frame(0, ""), 100) + frame(fin, ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, dials := startWire(t, flood("", what))
			honest := startFake(t, serve(notes(t, 1)))
			p := newPool(t)
			c, err := p.Conn(testContext(t), url)
			if err != nil {
				t.Fatal(err)
			}
			ended(t, c)
			for _, path := range []string{"", "/", "/other", "?and=another"} {
				_, err := p.Conn(testContext(t), url+path)
				left := (*BackoffError)(nil)
				if !errors.Is(err, reconcile.ErrMisbehaving) || errors.Is(err, reconcile.ErrInterrupted) || !errors.As(err, &left) {
					t.Errorf("%s: %v", path, err)
				} else if wait := time.Until(left.Until); wait < time.Minute || wait > 5*time.Minute {
					t.Errorf("%s: left alone for %s", path, wait)
				}
			}
			if dials.Load() != 1 {
				t.Errorf("dialled %d times", dials.Load())
			}
			if _, err := p.Conn(testContext(t), honest.url); err != nil {
				t.Errorf("an honest relay: %v", err)
			}
			o := testOptions() // nothing can be done without the local relay
			o.Local = true
			local := NewPool(o)
			t.Cleanup(local.Close)
			local.account(url).exhaust(reconcile.ErrMisbehaving, time.Now())
			if _, err := local.Conn(testContext(t), url); err != nil {
				t.Errorf("the local relay: %v", err)
			}
		})
	}
}

// A relay that misbehaves otherwise does not begin anew, either.
func TestAHostThatSentTooManyNoticesIsNotDialledAgain(t *testing.T) {
	url, dials := startWire(t, flood("", frame(textFrame, `["NOTICE","invalid: hello"]`)))
	p := newPool(t)
	c, err := p.Conn(testContext(t), url)
	if err != nil {
		t.Fatal(err)
	}
	ended(t, c)
	if _, err := p.Conn(testContext(t), url); !errors.Is(err, reconcile.ErrMisbehaving) || dials.Load() != 1 {
		t.Errorf("dialled %d times, %v", dials.Load(), err)
	}
}

// Time forgives, and what we ask for does.
func TestAccount(t *testing.T) {
	now := time.Now()
	var a account
	spend := func(frames int) (err error) {
		for range frames {
			err = errors.Join(err, a.charge(frameCost, now))
		}
		return err
	}
	most := maxStrayBytes / frameCost
	if err := spend(most); err != nil || a.barred("", now) != nil {
		t.Fatalf("within the bound: %v", err)
	}
	if err := spend(1); !errors.Is(err, reconcile.ErrMisbehaving) {
		t.Fatalf("beyond the bound: %v", err)
	}
	left := (*BackoffError)(nil)
	if !errors.As(a.barred("", now), &left) {
		t.Fatal("not barred")
	}
	until := left.Until
	if wait := until.Sub(now); wait != maxStrayBytes/2/forgiven*time.Second {
		t.Fatalf("barred for %s", wait)
	}
	if now = until.Add(-time.Second); a.barred("", now) == nil {
		t.Error("forgiven before the time")
	}
	if now = until.Add(time.Second); a.barred("", now) != nil {
		t.Error("not forgiven in time")
	}
	if err := spend(most / 4); err != nil {
		t.Error(err)
	}
	// For years, two pings a second and a message beside each answer.
	for range 100_000 {
		now = now.Add(time.Second)
		if err := spend(2); err != nil {
			t.Fatal(err)
		}
	}
	for range 1_000_000 {
		a.asked()
		if err := spend(2); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(-time.Hour) // a clock that goes back forgives nothing, and breaks nothing
	if err := spend(1); err != nil {
		t.Error(err)
	}
}

// On the internet a port is no host of its own, nor is a path or a subdomain that
// has proved nothing; on private addresses, which many share, it is.
func TestAccountsAreByHost(t *testing.T) {
	for _, private := range []bool{false, true} {
		o := testOptions()
		o.AllowPrivate, o.Budget = private, &hosts.Budget{}
		o.Budget.Prove("wss://proven.example.com")
		p := NewPool(o)
		t.Cleanup(p.Close)
		first := p.account("wss://a.example.com/")
		for relay, same := range map[string]bool{
			"wss://a.example.com/":       true,
			"wss://a.example.com/a/b?c":  true,
			"wss://a.example.com:8443/x": !private,
			"ws://a.example.com/":        !private,
			"wss://b.example.com/":       !private,
			"wss://proven.example.com/x": false,
			"wss://example.org/":         false,
		} {
			if (p.account(relay) == first) != same {
				t.Errorf("private %v: %s", private, relay)
			}
		}
	}
}

// What honest relays do costs them little: large messages in fragments, a ping
// every second, a CLOSED for every CLOSE, two OKs for an event.
func TestHonestRelaysHaveNothingToFear(t *testing.T) {
	all := notes(t, 100)
	f := startFake(t, func(p *peer) {
		for msg := p.next(); msg != nil; msg = p.next() {
			switch unquote(msg[0]) {
			case "REQ":
				for _, e := range all {
					p.send("EVENT", msg[1], e)
				}
				p.send("EOSE", msg[1])
			case "CLOSE":
				p.send("CLOSED", msg[1], "")
			case "EVENT":
				var e nostr.Event
				_ = json.Unmarshal(msg[1], &e)
				p.send("OK", e.ID, true, "")
				p.send("OK", e.ID, true, "duplicate: again")
			}
		}
	})
	c := dial(t, f.url)
	for range 50 {
		if got, err := collect(t, c, filterAll); err != nil || len(got) != len(all) {
			t.Fatalf("%d events, %v", len(got), err)
		}
		if _, err := c.Publish(testContext(t), all[0]); err != nil {
			t.Fatal(err)
		}
	}
	a := c.opts.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.debt > 20*frameCost {
		t.Errorf("it owes %d bytes", a.debt)
	}
}

// tellingReads tells of every read of a socket.
type tellingReads struct {
	http.RoundTripper
	read chan<- struct{}
}

func (r tellingReads) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = tellingSocket{resp.Body.(readWriteCloser), r.read}
	}
	return resp, err
}

type readWriteCloser interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	Close() error
}

type tellingSocket struct {
	readWriteCloser
	read chan<- struct{}
}

func (s tellingSocket) Read(p []byte) (int, error) {
	n, err := s.readWriteCloser.Read(p)
	s.read <- struct{}{}
	return n, err
}
