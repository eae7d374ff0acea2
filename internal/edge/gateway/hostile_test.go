package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// behindProxy has clients of this machine say in X-Forwarded-For where they are.
func behindProxy(t testing.TB) clientaddr.Proxies {
	t.Helper()
	proxies, err := clientaddr.Parse([]string{"127.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	return proxies
}

func from(address string) http.Header { return http.Header{"X-Forwarded-For": {address}} }

// naming is a REQ for so many ids that nobody has.
func naming(id string, ids int) string {
	list := make([]string, ids)
	for i := range list {
		list[i] = fmt.Sprintf(`"%016x%016x%032x"`, rand.Uint64(), rand.Uint64(), 0)
	}
	return `["REQ","` + id + `",{"ids":[` + strings.Join(list, ",") + `]}]`
}

// Ten thousand subscriptions of a client pass, and each gets its EOSE; of few
// something is held.
func TestManySubscriptions(t *testing.T) {
	t.Parallel()
	const many = 10_000
	g := start(t, empty(t), Config{Fetch: newWorld().fetch})
	c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
	go func() {
		for i := range many {
			c.send(naming(strconv.Itoa(i), 1))
		}
	}()
	most := 0
	seen := make(map[string]bool, many)
	for range many {
		seen[c.read()] = true
		most = max(most, heldBy(g))
	}
	if len(seen) != many {
		t.Errorf("%d subscriptions of %d got an EOSE", len(seen), many)
	}
	if most > maxWatched*2048 {
		t.Errorf("%d bytes were held of them", most)
	}
}

// A client that asks for thousands of ids that nobody has causes a bounded number of
// lookups; the rest passes at once. Another address is served meanwhile, and one that
// only claims to be another is not.
func TestUnknownIDsOfOneAddress(t *testing.T) {
	t.Parallel()
	note := signed(t, nostr.Event{Kind: 1})
	w := newWorld(note)
	var lookups, running, most atomic.Int64
	gate := make(chan struct{})
	fetch := func(ctx context.Context, r events.MissingNoteRequest) (events.MissingNoteResponse, error) {
		if r.EventID == note.ID {
			return w.fetch(ctx, r)
		}
		lookups.Add(1)
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		select {
		case <-gate:
		case <-ctx.Done():
		}
		return events.MissingNoteResponse{}, nil
	}
	g := start(t, empty(t), Config{Fetch: fetch, Wait: time.Minute, TrustedProxies: behindProxy(t)})
	begun := time.Now()
	stranger := dial(t, g.URL(), websocket.CompressionDisabled, from("192.0.2.1"))
	for i := range 20 {
		id := strconv.Itoa(i)
		stranger.send(naming(id, 500))
		stranger.expect(`["EOSE","` + id + `"]`)
	}
	eventually(t, "the address has as many lookups as it may", func() bool { return running.Load() == lookupsOfAddress })
	for name, address := range map[string]string{"passes": "192.0.2.1", "claims": "198.51.100.7, 192.0.2.1"} {
		again := dial(t, g.URL(), websocket.CompressionDisabled, from(address))
		again.send(naming(name, 20)) // few enough to be waited for, of an address that has no more lookups
		again.expect(`["EOSE","` + name + `"]`)
	}
	other := dial(t, g.URL(), websocket.CompressionDisabled, from("203.0.113.9"))
	other.send(`["REQ","x",{"ids":["` + note.ID + `"]}]`)
	other.expect(eventText("x", note), `["EOSE","x"]`)
	close(gate)
	eventually(t, "the lookups end", func() bool { return running.Load() == 0 })
	for i := range 20 {
		stranger.send(naming("more", 500))
		stranger.expect(`["EOSE","more"]`)
		if i == 19 {
			stranger.send(`["CLOSE","more"]`)
		}
	}
	bound := lookupsAtFirst + lookupsPerSecond*(1+int(time.Since(begun).Seconds())) + 100
	if n := int(lookups.Load()); n > bound || most.Load() > lookupsOfAddress {
		t.Errorf("%d lookups, of which %d at a time", n, most.Load())
	}
}

// What clients hold that read nothing while events are found for them is bounded for
// all of an address together, and so is what short REQs hold that name many.
func TestClientsThatHoldMemory(t *testing.T) {
	t.Parallel()
	const clients, notes, size, each = 5, 10, 100_000, 2 << 20
	w := newWorld()
	w.gate = make(chan struct{})
	var ids []string
	for i := range notes {
		e := signed(t, nostr.Event{Kind: 1, Content: strings.Repeat(strconv.Itoa(i), size)})
		w.by[e.ID] = e
		ids = append(ids, quote(e.ID))
	}
	var blocked atomic.Int64
	flood := scripted(t, func(p *peer, _ *http.Request) {
		p.read()
		p.send(`["EOSE","x"]`)
		var sent atomic.Int64
		ctx, cancel := context.WithCancel(p.ctx)
		defer cancel()
		go func() { // until nothing goes any more
			for last := int64(-1); sent.Load() != last && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
				last = sent.Load()
			}
			blocked.Add(1)
		}()
		for p.ws.Write(p.ctx, websocket.MessageText, make([]byte, 64<<10)) == nil {
			sent.Add(1)
		}
	})
	g := start(t, flood, Config{Fetch: w.fetch, Wait: time.Minute})
	g.held = newLedger(heldInAll, each)
	for range clients {
		dial(t, g.URL(), websocket.CompressionDisabled, nil).send(`["REQ","x",{"ids":[` + strings.Join(ids, ",") + `]}]`)
	}
	eventually(t, "the clients read nothing", func() bool { return blocked.Load() == clients })
	close(w.gate)
	g.completer.running.Wait()
	eventually(t, "something is sent", func() bool { return testutil.ToFloat64(g.metrics.completed) > 0 })
	var before int
	eventually(t, "no more is held", func() bool {
		now := heldBy(g)
		defer func() { before = now }()
		time.Sleep(50 * time.Millisecond)
		return now == before
	})
	if n := testutil.ToFloat64(g.metrics.completed) * size; n > 1.5*each { // some of it the kernel took
		t.Errorf("%.0f bytes of found events wait for clients that read nothing", n)
	}

	// Four hundred letters that name a thousand lists.
	g = start(t, scripted(t, func(p *peer, _ *http.Request) { p.ended() }), Config{Fetch: w.fetch})
	authors := make([]string, 50)
	for i := range authors {
		authors[i] = fmt.Sprintf(`"%064x"`, i)
	}
	kinds := strings.TrimSuffix(strings.Repeat("0,3,10002,10050,", 5), ",")
	short := `{"kinds":[` + kinds + `],"authors":[` + strings.Join(authors, ",") + `]}`
	c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
	for i := range maxWatched {
		c.send(`["REQ","` + strconv.Itoa(i) + `",` + short + `]`)
	}
	eventually(t, "they are watched", func() bool { return testutil.ToFloat64(g.metrics.watched) > 20 })
	if n := heldBy(g); n < 20*maxWanted*wantBytes || n > heldOfAddress {
		t.Errorf("%d bytes are counted of short REQs that name many", n)
	}
}

// A relay that restarts under a thousand clients, of which half wait for what it
// lacks, ends each with its own code. What was held of them is given back, and
// those who come back are served.
func TestRelayRestartsUnderManyClients(t *testing.T) {
	t.Parallel()
	const many = 1000
	restart := make(chan struct{})
	url := scripted(t, func(p *peer, _ *http.Request) {
		_, id, _ := split([]byte(p.read()))
		p.send(`["EOSE",` + string(id) + `]`)
		select {
		case <-restart:
			p.ws.Close(websocket.StatusServiceRestart, "restarts")
		case <-p.ctx.Done():
		}
	})
	w := newWorld()
	w.gate = make(chan struct{})
	defer close(w.gate)
	g := start(t, url, Config{Fetch: w.fetch, Wait: time.Minute})
	var ready, gone sync.WaitGroup
	var wrong atomic.Int64
	for i := range many {
		ready.Add(1)
		gone.Go(func() {
			c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
			if i%2 == 0 { // waits
				c.send(`["REQ","x",{"ids":["` + strings.Repeat("ab", 32) + `"]}]`)
				ready.Done()
			} else {
				c.send(`["REQ","x",{"kinds":[1]}]`)
				c.expect(`["EOSE","x"]`)
				ready.Done()
			}
			if c.ended() != websocket.StatusServiceRestart {
				wrong.Add(1)
			}
		})
	}
	ready.Wait()
	eventually(t, "half of them wait", func() bool { return testutil.ToFloat64(g.metrics.watched) == many/2 })
	close(restart)
	gone.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of %d clients did not get the relay's code", n, many)
	}
	eventually(t, "no connection is left", func() bool { return g.slots.Taken() == 0 })
	if n := heldBy(g); n != 0 {
		t.Errorf("%d bytes are held of clients that are gone", n)
	}
	c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
	c.send(`["REQ","x",{"kinds":[1]}]`)
	c.expect(`["EOSE","x"]`)
	if c.ended() != websocket.StatusServiceRestart {
		t.Error("a client that is back meets another relay")
	}
}

// An id that is used again, while what it stood for is still looked for, gets what
// it stands for now, and no event twice.
func TestIDsUsedAgainAtOnce(t *testing.T) {
	t.Parallel()
	first, second := signed(t, nostr.Event{Kind: 1, Content: "first"}), signed(t, nostr.Event{Kind: 1, Content: "second"})
	w := newWorld(first, second)
	w.gate = make(chan struct{})
	g := start(t, empty(t), Config{Fetch: w.fetch, Wait: time.Minute})
	c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
	for range 50 {
		c.send(`["REQ","x",{"ids":["` + first.ID + `"]}]`)
		c.send(`["REQ","x",{"ids":["` + second.ID + `"]}]`)
	}
	c.send(`["REQ","end",{"kinds":[1]}]`)
	c.expect(`["EOSE","end"]`) // of each "x" another was there, or nothing was found yet
	eventually(t, "the second is looked for", func() bool { return w.times(second.ID) == 1 })
	close(w.gate)
	c.expect(eventText("x", second), `["EOSE","x"]`)
	c.send(`["REQ","last",{"kinds":[1]}]`)
	c.expect(`["EOSE","last"]`)
}

// Two gateways whose fetchers dial the relay of the other, as lists tell them to, do
// not ask each other in circles: one that is asked by a relaymesh says what its
// relay has.
func TestTwoGateways(t *testing.T) {
	t.Parallel()
	pool := relay.NewPool(relay.Options{AllowPrivate: true, Log: slog.New(slog.DiscardHandler)})
	defer pool.Close()
	var urls [2]string
	var asked [2]atomic.Int64
	fetchBy := func(i int) func(context.Context, events.MissingNoteRequest) (events.MissingNoteResponse, error) {
		return func(ctx context.Context, r events.MissingNoteRequest) (events.MissingNoteResponse, error) {
			asked[i].Add(1)
			e, err := pool.Find(ctx, urls[1-i], r.EventID)
			return events.MissingNoteResponse{Found: e != nil, Event: e}, err
		}
	}
	here := start(t, empty(t), Config{Fetch: fetchBy(0), Wait: 20 * time.Second})
	there := start(t, empty(t), Config{Fetch: fetchBy(1), Wait: 20 * time.Second})
	urls = [2]string{here.URL(), there.URL()}
	c := dial(t, here.URL(), websocket.CompressionDisabled, nil)
	c.send(naming("x", 1))
	c.expect(`["EOSE","x"]`)
	if a, b := asked[0].Load(), asked[1].Load(); a != 1 || b != 0 {
		t.Errorf("the one was asked %d times and the other %d", a, b)
	}
}

// What is held grows with what has come, and not with what a header promises.
func TestPromisesCostNothing(t *testing.T) {
	t.Parallel()
	const came = largeBuffer + 5000
	ours, theirs := net.Pipe()
	s := newSource(ours, nil, time.Minute)
	s.before = func() error { return nil }
	go func() {
		_, _ = theirs.Write(make([]byte, came))
		theirs.Close()
	}()
	if soon, err := s.soon(maxInspected, time.Minute); soon || err == nil {
		t.Errorf("%v, %v", soon, err)
	}
	if s.w != came || len(s.buf) > 2*came {
		t.Errorf("a buffer of %d bytes for %d that came", len(s.buf), s.w)
	}
}
