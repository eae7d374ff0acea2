package relay

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestRedirectIsNotFollowed(t *testing.T) {
	reached := make(chan struct{}, 10)
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
	defer target.Close()
	server := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusFound))
	defer server.Close()
	url := strings.Replace(server.URL, "http", "ws", 1)
	if _, err := Dial(testContext(t), url, testOptions()); err == nil {
		t.Error("connected by redirect")
	}
	if _, err := FetchInfo(testContext(t), url, testOptions()); err == nil {
		t.Error("got a document by redirect")
	}
	if len(reached) != 0 {
		t.Error("the redirect was followed")
	}
}

// Servers redirect /nostr to /nostr/, or have nothing there.
func TestAURLIsDialledAsItWasGiven(t *testing.T) {
	paths := make(chan string, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths <- r.URL.RequestURI()
		http.NotFound(w, r)
	}))
	defer server.Close()
	for given, want := range map[string]string{"": "/", "/": "/", "/nostr": "/nostr", "/nostr/": "/nostr/", "/a//?x=/": "/a//?x=/"} {
		url := strings.Replace(server.URL, "http", "ws", 1) + given
		_, dialErr := Dial(testContext(t), url, testOptions())
		_, infoErr := FetchInfo(testContext(t), url, testOptions())
		if dialErr == nil || infoErr == nil {
			t.Fatal("there is no relay to connect to")
		}
		if dialled, asked := <-paths, <-paths; dialled != want || asked != want {
			t.Errorf("%q: dialled %s, asked for the document at %s", given, dialled, asked)
		}
	}
}

// A peer that accepts the connection and says nothing is given up.
func TestHandshakeTimeout(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	o := testOptions()
	o.timing.handshake = 50 * time.Millisecond
	if _, err := Dial(testContext(t), "ws://"+ln.Addr().String(), o); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dial: %v", err)
	}
	if _, err := FetchInfo(testContext(t), "ws://"+ln.Addr().String(), o); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("NIP-11: %v", err)
	}
}

func TestTLSError(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.StartTLS()
	defer server.Close()
	if _, err := Dial(testContext(t), strings.Replace(server.URL, "https", "wss", 1), testOptions()); err == nil ||
		!strings.Contains(err.Error(), "certificate") {
		t.Errorf("self-signed certificate: %v", err)
	}
}

func TestMessageTooLong(t *testing.T) {
	f := startFake(t, func(p *peer) {
		p.expect("REQ")
		p.send("NOTICE", strings.Repeat("x", maxMessage))
		p.drain()
	})
	if _, err := collect(t, dial(t, f.url), filterAll); !errors.Is(err, reconcile.ErrMisbehaving) {
		t.Errorf("got %v", err)
	}
}

// An event over the bound is passed over, not decoded.
func TestEventTooLarge(t *testing.T) {
	all := notes(t, 1)
	large := note(t, newKey(t), 1, 1, strings.Repeat("x", nostr.MaxEventBytes))
	f := startFake(t, serve([]nostr.Event{large, all[0]}))
	got, err := collect(t, dial(t, f.url), filterAll)
	if err != nil || !slices.Equal(ids(got), ids(all)) {
		t.Errorf("%d events and %v, want the small one", len(got), err)
	}
}

// The CLOSE of a query is never dropped, however much else is being sent.
func TestCloseIsNotDropped(t *testing.T) {
	const n = 200
	all := notes(t, n)
	closed := make(chan struct{}, n)
	f := startFake(t, func(p *peer) {
		for msg := p.next(); msg != nil; msg = p.next() {
			switch unquote(msg[0]) {
			case "REQ":
				p.send("EOSE", msg[1])
			case "CLOSE":
				closed <- struct{}{}
			case "EVENT":
				var e nostr.Event
				_ = json.Unmarshal(msg[1], &e)
				p.send("OK", e.ID, true, "")
			}
		}
	})
	c := dial(t, f.url)
	var wg sync.WaitGroup
	for _, e := range all {
		wg.Go(func() {
			if err := reconcile.Write(testContext(t), c, e); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := collect(t, c, filterAll); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for range n {
		receive(t, closed)
	}
}

func TestFloodsEndTheConnection(t *testing.T) {
	for name, script := range map[string]func(*peer){
		"notices": func(p *peer) {
			for range maxNotices + 1 {
				p.send("NOTICE", "invalid: hello")
			}
		},
		"unasked events": func(p *peer) {
			junk := strings.Repeat("x", 1<<20)
			for range 2 * maxStrayBytes >> 20 { // some of it is forgiven meanwhile
				p.send("EVENT", "none", junk)
			}
		},
		"a message without end": func(p *peer) { p.send(raw(strings.Repeat("x", maxMessage+1))) },
		"junk": func(p *peer) {
			junk := strings.Repeat("x", 1<<20)
			for range 2 * maxStrayBytes >> 20 { // some of it is forgiven meanwhile
				p.send(raw(junk))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, func(p *peer) {
				script(p)
				p.drain()
			})
			c := dial(t, f.url)
			select {
			case <-c.Done():
			case <-testContext(t).Done():
				t.Fatal("the connection lives on")
			}
			// Who breaks a bound would do so again: it is no interruption.
			_, err := c.Publish(testContext(t), nostr.Event{})
			for _, err := range []error{c.Err(), err} {
				if !errors.Is(err, reconcile.ErrMisbehaving) || errors.Is(err, reconcile.ErrInterrupted) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

// A relay that asks for a pause, by 429 or 503 with Retry-After in seconds or as
// a date, gets it: the pool does not dial before, and a sync waits and goes on.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, x := range []struct {
		status int
		said   string
		want   time.Duration // 0 is no word
	}{
		{429, "7", 7 * time.Second},
		{503, " 7 ", 7 * time.Second},
		{429, now.Add(30 * time.Second).Format(http.TimeFormat), 30 * time.Second},
		{429, now.Add(-time.Hour).Format(http.TimeFormat), time.Second},
		{429, "0", time.Second},
		{429, "4294967295", maxRetryAfter},
		{429, "99999999999999999999", 0},
		{429, "-5", 0},
		{429, "", 0},
		{429, "soon", 0},
		{404, "7", 0},
	} {
		resp := &http.Response{StatusCode: x.status, Header: http.Header{"Retry-After": {x.said}}}
		word := reconcile.LaterOf(later(resp, errors.New("no"), now))
		if (word != nil) != (x.want != 0) || word != nil && !word.Until.Equal(now.Add(x.want)) {
			t.Errorf("%d, %q: got %v, want %s", x.status, x.said, word, x.want)
		}
	}

	dialled := make(chan time.Time, 100)
	open := startHome(t)
	writer := dial(t, open)
	for _, e := range notes(t, 3) {
		if err := reconcile.Write(testContext(t), writer, e); err != nil {
			t.Fatal(err)
		}
	}
	target, err := url.Parse(strings.Replace(open, "ws", "http", 1))
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(target)
	var refused atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if dialled <- time.Now(); refused.CompareAndSwap(false, true) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	pool := NewPool(testOptions())
	t.Cleanup(pool.Close)
	relay, begun := pool.At(strings.Replace(server.URL, "http", "ws", 1)), time.Now()
	for n := range 5 {
		for _, err := range relay.Query(testContext(t), filterAll) {
			within := time.Since(begun) < time.Second // the machine may be busy for longer
			if (within || err != nil) && (reconcile.LaterOf(err) == nil || !errors.Is(err, reconcile.ErrInterrupted)) {
				t.Errorf("query %d: %v", n, err)
			}
		}
	}
	a, b := reconcile.Side{Relay: newPool(t).At(startHome(t)), Name: "a"}, reconcile.Side{Relay: reconcile.Classified(relay), Name: "b"}
	r, err := reconcile.Sync(testContext(t), a, b, filterAll, reconcile.Options{Direction: reconcile.None})
	if err != nil || r.OnlyB != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	first, second := receive(t, dialled), receive(t, dialled)
	if pause := second.Sub(first); pause < time.Second {
		t.Errorf("dialled again after %s", pause)
	}
}
