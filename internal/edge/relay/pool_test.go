package relay

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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
	var late *BackoffError
	if _, err := p.At(url).Publish(testContext(t), nostr.Event{}); !errors.As(err, &late) || time.Until(late.Until) > time.Second {
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
	p.mu.Lock()
	f := p.failures[url]
	f.until = time.Now()
	p.failures[url] = f
	p.mu.Unlock()
	if _, err := p.Conn(testContext(t), url); errors.As(err, new(*BackoffError)) {
		t.Errorf("third attempt: %v", err)
	}
	if f := p.failures[url]; f.count != 2 || time.Until(f.until) < time.Second/2 {
		t.Errorf("after the third attempt: %+v", f)
	}
}

func TestPoolBoundsItsMemory(t *testing.T) {
	p := newPool(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range maxFailures + 100 {
		p.failed(strconv.Itoa(i), net.ErrClosed)
	}
	if n := len(p.failures); n != maxFailures {
		t.Errorf("%d failures are remembered, want %d", n, maxFailures)
	}
	for u, f := range p.failures {
		f.until = time.Time{}
		p.failures[u] = f
	}
	p.failed("one more", net.ErrClosed)
	if n := len(p.failures); n != 1 {
		t.Errorf("%d failures are remembered, want the one that still counts", n)
	}
}

func TestBackoffGrows(t *testing.T) {
	p := newPool(t)
	p.keepTrying("ws://127.0.0.1:1")
	for n := 1; n < 100; n++ {
		far, near := p.jittered("x", n), p.jittered("ws://127.0.0.1:1", n)
		if far < backoff(n)/2 || far > backoff(n) || far > maxBackoff {
			t.Errorf("after %d failures: %v", n, far)
		}
		if near > maxLocalBackoff {
			t.Errorf("local, after %d failures: %v", n, near)
		}
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

func TestClosedPool(t *testing.T) {
	p := NewPool(testOptions())
	p.Close()
	if _, err := p.Conn(testContext(t), "ws://127.0.0.1:1"); err == nil {
		t.Error("a closed pool gave a connection")
	}
}
