package relay

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestPoolSharesOneConnection(t *testing.T) {
	all := notes(t, 1)
	f := startFake(t, serve(all))
	p := newPool(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			// Different spellings of one address.
			url := f.url + strings.Repeat("/", i%3)
			for e, err := range p.At(url).Query(testContext(t), filterAll) {
				if err != nil || e.ID != all[0].ID {
					t.Errorf("got %s, %v", e.ID, err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(f.dials); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A connection that breaks as it is used again is replaced, once.
func TestPoolReplacesLostConnection(t *testing.T) {
	all := notes(t, 1)
	f := startFake(t, func(p *peer) {
		if req := p.expect("REQ"); req != nil {
			p.send("EVENT", req[0], all[0])
			p.send("EOSE", req[0])
		}
		for msg := p.next(); msg != nil; msg = p.next() {
			if label := unquote(msg[0]); label == "REQ" || label == "EVENT" {
				return // in place of an answer
			}
		}
	})
	p := newPool(t)
	for range 3 {
		n := 0
		for _, err := range p.At(f.url).Query(testContext(t), filterAll) {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		if n != 1 {
			t.Fatalf("%d events, want 1", n)
		}
	}
	if n := len(f.dials); n != 3 {
		t.Errorf("%d connections, want one for each query", n)
	}
	g := startFake(t, func(p *peer) { p.next() })
	if _, err := p.At(g.url).Publish(testContext(t), all[0]); !errors.Is(err, ErrConnClosed) {
		t.Errorf("a relay that always hangs up: %v", err)
	}
	receive(t, g.dials)
	receive(t, g.dials)
	if len(g.dials) != 0 {
		t.Error("it was tried more than twice")
	}
}

func TestPoolRemembersFailures(t *testing.T) {
	attempts := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		attempts <- struct{}{}
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer server.Close()
	url := strings.Replace(server.URL, "http", "ws", 1)
	p := newPool(t)
	if _, err := p.Conn(testContext(t), url); err == nil || errors.As(err, new(*BackoffError)) {
		t.Fatalf("first attempt: %v", err)
	}
	// It is left alone for a second, which a busy machine may let pass.
	leaveAlone := func(d time.Duration) (before failure) {
		p.mu.Lock()
		defer p.mu.Unlock()
		before, _ = p.failures.Get(url)
		f := before
		f.LeftAloneUntil = time.Now().Add(d)
		p.failures.Put(url, f)
		return before
	}
	if f := leaveAlone(time.Hour); f.Failures != 1 || time.Until(f.LeftAloneUntil) > 2*time.Second {
		t.Errorf("after the first attempt: %+v", f)
	}
	var late *BackoffError
	if _, err := p.At(url).Publish(testContext(t), nostr.Event{}); !errors.As(err, &late) {
		t.Errorf("second attempt: %v", err)
	}
	for _, err := range p.At(url).Query(testContext(t), filterAll) {
		if !errors.As(err, &late) || !strings.Contains(err.Error(), "403") {
			t.Errorf("the error does not say why: %v", err)
		}
	}
	if n := len(attempts); n != 1 {
		t.Errorf("%d attempts, want 1", n)
	}
	// When the time is up it is tried again, and waits longer.
	leaveAlone(0)
	again := time.Now()
	if _, err := p.Conn(testContext(t), url); errors.As(err, new(*BackoffError)) {
		t.Errorf("third attempt: %v", err)
	}
	if f, _ := p.failures.Get(url); f.Failures != 2 || f.LeftAloneUntil.Sub(again) < time.Second {
		t.Errorf("after the third attempt: %+v", f)
	}
}

// A pause that a relay asked for holds for its NIP-11 document, too, whoever is
// told of it first.
func TestAPauseHoldsForTheDocument(t *testing.T) {
	requests := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests <- struct{}{}
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer server.Close()
	url := strings.Replace(server.URL, "http", "ws", 1)
	for name, first := range map[string]func(*Pool) error{
		"a connection": func(p *Pool) error { _, err := p.Conn(testContext(t), url); return err },
		"a document":   func(p *Pool) error { _, err := p.FetchInfo(testContext(t), url+"/"); return err },
	} {
		p := newPool(t)
		if err := first(p); reconcile.LaterOf(err) == nil {
			t.Errorf("%s: %v", name, err)
		}
		receive(t, requests)
		for range 3 {
			_, err := p.FetchInfo(testContext(t), url)
			if later := reconcile.LaterOf(err); later == nil || time.Until(later.Until) < 50*time.Second {
				t.Errorf("%s, and then a document: %v", name, err)
			}
			if _, err := p.Conn(testContext(t), url); reconcile.LaterOf(err) == nil {
				t.Errorf("%s, and then a connection: %v", name, err)
			}
		}
		if len(requests) > 0 {
			t.Errorf("%s, and it was asked again", name)
		}
	}
}

// As many connections as there may be, in use or being made, leave none to others.
func TestPoolBoundsItsConnections(t *testing.T) {
	p := newPool(t)
	at := func(i int) string { return "ws://127.0.0.1:" + strconv.Itoa(10_000+i) }
	p.mu.Lock()
	for i := range maxConns {
		p.relays[at(i)] = &entry{dialled: make(chan struct{})}
	}
	p.mu.Unlock()
	if _, err := p.entry("ws://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "connections are in use already") {
		t.Errorf("one connection too many: %v", err)
	}
	p.mu.Lock()
	for i := range maxConns {
		delete(p.relays, at(i))
	}
	p.mu.Unlock()
	if _, err := p.entry("ws://127.0.0.1:1"); err != nil {
		t.Errorf("in the place of those that are gone: %v", err)
	}
}

func TestPoolBoundsItsMemory(t *testing.T) {
	p := newPool(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.failed("long ago", net.ErrClosed)
	for i := range 2 * maxRemembered {
		_ = p.failed(strconv.Itoa(i), net.ErrClosed)
	}
	if _, known := p.failures.Get("long ago"); known {
		t.Errorf("more than %d failures are remembered", 2*maxRemembered)
	}
	if f, _ := p.failures.Get(strconv.Itoa(maxRemembered + 1)); f.Failures != 1 {
		t.Errorf("fewer than %d failures are remembered", maxRemembered)
	}
}

// A relay that nobody has named is left alone for ever longer; one that is wanted is
// dialled soon, again and again, and more so the local one.
func TestPoolWaitsLessForWhatIsWanted(t *testing.T) {
	const url = "ws://127.0.0.1:1"
	for name, c := range map[string]struct {
		want  func(*Pool)
		since time.Duration // it went
		most  time.Duration
	}{
		"a stranger":              {func(*Pool) {}, time.Hour, 13 * time.Minute},
		"local":                   {func(p *Pool) { p.opts.Local = true }, time.Hour, 3 * time.Second},
		"named, five minutes ago": {func(p *Pool) { p.Want("test", url+"/") }, 5 * time.Minute, 4 * time.Second},
		"named, an hour ago":      {func(p *Pool) { p.Want("test", url) }, time.Hour, time.Minute},
		"followed":                {func(p *Pool) { p.follows(url) }, 5 * time.Minute, 4 * time.Second},
		"followed two days ago":   {func(p *Pool) { p.followed.Put(url, time.Now().Add(-48*time.Hour)) }, time.Hour, 13 * time.Minute},
		"named no more":           {func(p *Pool) { p.Want("test", url); p.Want("test") }, time.Hour, 13 * time.Minute},
		"named for one purpose":   {func(p *Pool) { p.Want("a", url); p.Want("b") }, time.Minute, 4 * time.Second},
	} {
		p := newPool(t)
		c.want(p)
		p.mu.Lock()
		p.failures.Put(url, failure{State: health.State{Failures: 100, Since: time.Now().Add(-c.since)}, back: time.Now()})
		_ = p.failed(url, net.ErrClosed)
		var late *BackoffError
		if err := p.leftAlone(url); !errors.As(err, &late) || time.Until(late.Until) > c.most || time.Until(late.Until) < c.most/3 {
			t.Errorf("%s: %v", name, err)
		}
		p.mu.Unlock()
	}
}

func TestPoolClosesIdleConnections(t *testing.T) {
	all := notes(t, 1)
	idle, busy := startFake(t, serve(all)), startFake(t, serve(all))
	p := newPool(t)
	first, err := p.Conn(testContext(t), idle.url)
	if err != nil {
		t.Fatal(err)
	}
	for range p.At(busy.url).Query(testContext(t), filterAll) {
		p.mu.Lock()
		p.sweep(0)
		p.mu.Unlock()
	}
	select {
	case <-first.Done():
	case <-testContext(t).Done():
		t.Fatal("the idle connection lives on")
	}
	if c, err := p.Conn(testContext(t), busy.url); err != nil || c.Err() != nil {
		t.Errorf("the busy connection ended: %v", err)
	}
	if again, err := p.Conn(testContext(t), idle.url); err != nil || again.Err() != nil {
		t.Errorf("the idle one did not come back: %v", err)
	}
	receive(t, idle.dials)
	receive(t, idle.dials)
	if len(busy.dials) != 1 {
		t.Errorf("the busy relay was dialled %d times, want once", len(busy.dials))
	}
}

// More relays of one host than it has connections: those that nobody uses give
// way, long before they have been idle for two minutes, and the one in use stays.
func TestIdleConnectionsGiveWayToOthersOfTheirHost(t *testing.T) {
	fake := startFake(t, serve(notes(t, 1)))
	p := NewPool(Options{AllowPrivate: true, Budget: &hosts.Budget{}})
	t.Cleanup(p.Close)
	for range p.At(fake.url+"/busy").Query(testContext(t), filterAll) {
		for i := range hosts.MaxConns + 1 {
			if _, err := p.Conn(testContext(t), fmt.Sprint(fake.url, "/user/", i)); err != nil {
				t.Errorf("relay %d waits for those that are idle: %v", i, err)
			}
		}
	}
	if c, err := p.Conn(testContext(t), fake.url+"/busy"); err != nil || c.Err() != nil {
		t.Errorf("the one in use gave way: %v", err)
	}
	if n := len(fake.dials); n != hosts.MaxConns+2 {
		t.Errorf("%d dials", n)
	}
}

func TestClosedPool(t *testing.T) {
	p := NewPool(testOptions())
	p.Close()
	if _, err := p.Conn(testContext(t), "ws://127.0.0.1:1"); err == nil {
		t.Error("a closed pool gave a connection")
	}
}
