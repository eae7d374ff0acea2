package relay

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// mortal is a relay that goes and comes back at the same address.
type mortal struct {
	t      *testing.T
	script func(*peer)
	addr   string
	down   func()
}

func startMortal(t *testing.T, script func(*peer)) *mortal {
	t.Helper()
	m := &mortal{t: t, script: script, addr: loopback.Addr()}
	m.up()
	t.Cleanup(func() { m.down() })
	return m
}

func (m *mortal) url() string { return "ws://" + m.addr }

// up has it listen; down cuts all connections and refuses others.
func (m *mortal) up() {
	m.t.Helper()
	listener, err := net.Listen("tcp", m.addr)
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ws, err := websocket.Accept(w, r, nil); err == nil {
			serving.Go(func() { <-ctx.Done(); ws.CloseNow() })
			m.script(&peer{t: m.t, ctx: ctx, ws: ws})
		}
	})}
	serving.Go(func() { _ = server.Serve(listener) })
	m.down = func() {
		cancel()
		server.Close()
		serving.Wait()
	}
}

// wantedPool returns a pool that wants a relay, and its log.
func wantedPool(t *testing.T, url string, change ...func(*Options)) (*Pool, *lockedBuffer) {
	log, o := &lockedBuffer{}, testOptions()
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	for _, c := range change {
		c(&o)
	}
	p := NewPool(o)
	t.Cleanup(p.Close)
	p.Want("test", url)
	return p, log
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(data)
}

func (b *lockedBuffer) count(words string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.String(), words)
}

// A relay that the operator has named and that is away is dialled, by one goroutine,
// until it is back. That wakes all who wait for it, and is told once, and so is its
// going.
func TestAWantedRelayIsDialledUntilItIsBack(t *testing.T) {
	t.Parallel()
	all := notes(t, 1)
	relay := startMortal(t, serve(all))
	p, log := wantedPool(t, relay.url())
	told := make(chan string, 100)
	p.OnBack(func(url string) { told <- url })
	ask := func() (err error) {
		for _, e := range p.At(relay.url()).Query(testContext(t), filterAll) {
			err = e
		}
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	relay.down()
	var waiting sync.WaitGroup
	asked := make(chan struct{}, 32)
	for range 32 {
		waiting.Go(func() {
			err := ask()
			asked <- struct{}{}
			away := reconcile.AwayOf(err)
			if away == nil || !errors.Is(err, reconcile.ErrInterrupted) || !away.Wait(testContext(t)) {
				t.Errorf("while it is away: %v", err)
				return
			}
			if err := ask(); err != nil {
				t.Errorf("when it is back: %v", err)
			}
		})
	}
	for range 32 {
		receive(t, asked)
	}
	relay.up()
	waiting.Wait()
	if url := receive(t, told); url != relay.url() || len(told) > 0 {
		t.Errorf("told of %s, and %d more", url, len(told))
	}
	if log.count("level=WARN") != 2 || log.count("relay is away") != 1 || log.count("relay is back") != 1 {
		t.Errorf("logged:\n%s", log)
	}
	if p.Want("test"); len(p.resting) > 0 {
		t.Errorf("%d relays rest", len(p.resting))
	}
}

// Nothing can be done without the local relay, so it is waited for; whose own time is
// up waits no longer.
func TestTheLocalRelayIsWaitedFor(t *testing.T) {
	t.Parallel()
	all := notes(t, 1)
	relay := startMortal(t, serve(all))
	p, _ := wantedPool(t, "", func(o *Options) { o.Local = true })
	local := NewLocal(p, relay.url())
	relay.down()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.At(relay.url()).Publish(short, all[0]); err == nil {
		t.Error("a relay that is away took an event")
	}
	missing := make(chan error, 1)
	go func() {
		ids, err := local.Missing(testContext(t), []string{all[0].ID})
		if len(ids) > 0 {
			err = errors.New("it is said to be missing")
		}
		missing <- err
	}()
	relay.up()
	if err := receive(t, missing); err != nil {
		t.Error(err)
	}
}

// Tails of a relay that is away wait for its return, and do not dial it themselves.
func TestATailWaitsUntilTheRelayIsBack(t *testing.T) {
	t.Parallel()
	dials := make(chan struct{}, 100)
	relay := startMortal(t, func(p *peer) {
		dials <- struct{}{}
		serve(nil)(p)
	})
	p, log := wantedPool(t, relay.url())
	caughtUp := make(chan int64, 10)
	follow := Follow{
		Handle:   func(context.Context, nostr.Event) error { return nil },
		CaughtUp: func(_ context.Context, through int64) error { caughtUp <- through; return nil },
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	relay.down()
	if err := p.Tail(ctx, relay.url(), follow); reconcile.AwayOf(err) == nil {
		t.Fatalf("a relay that is away: %v", err)
	}
	tails := make(chan error, 2)
	for range 2 {
		go func() { tails <- p.Tail(ctx, relay.url(), follow) }()
	}
	relay.up()
	receive(t, caughtUp)
	receive(t, caughtUp)
	for range 3 { // that of the pool, which has nothing to say, and one of each tail
		receive(t, dials)
	}
	if n := len(dials); n > 0 || log.count("level=WARN") != 2 {
		t.Errorf("%d connections too many; logged:\n%s", n, log)
	}
	cancel()
	receive(t, tails)
	receive(t, tails)
}

// A pool that is closed leaves nobody waiting.
func TestAClosedPoolEndsTheWait(t *testing.T) {
	p, _ := wantedPool(t, "ws://127.0.0.1:1")
	_, err := p.Conn(testContext(t), "ws://127.0.0.1:1")
	away := reconcile.AwayOf(err)
	if away == nil {
		t.Fatal(err)
	}
	p.Close()
	if !away.Wait(testContext(t)) {
		t.Error("it is waited for still")
	}
}
