package gateway

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/relaymesh/relaymesh/internal/backoff"
	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/edge/slots"
	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Bounds on lookups: at a time, and of one address; and how many of one address
// there may be at first, and a second from then on. What is beyond is not looked
// for, and nothing waits for it.
const (
	lookupsInAll     = 512
	lookupsOfAddress = 64
	lookupsAtFirst   = 1000
	lookupsPerSecond = 5

	// knownFor is how long nothing is looked for again: what was found is at the
	// relay, and what was not costs a client its wait once.
	knownFor = time.Hour
	// knownWants is how many of them are remembered at least.
	knownWants = 1 << 16
	// answering is how long the service may take over the wait that it is told of.
	answering = 250 * time.Millisecond
)

// away is how long the service is left alone that does not answer. Then one lookup
// finds out whether it is back, and no client waits for that one.
var away = backoff.Backoff{First: time.Second, Most: 30 * time.Second}

// completer looks for what the relay lacks, for all connections: one lookup for
// all that want the same.
//
// Lists of authors will be looked for in the list index as well: [completer.look]
// is the one place that asks.
type completer struct {
	fetch  func(ctx context.Context, r events.MissingNoteRequest) (events.MissingNoteResponse, error)
	verify func(*nostr.Event) error
	denied *deny.Lists
	wait   time.Duration

	ctx     context.Context //nolint:containedctx // of the lookups, which outlive the connections
	running sync.WaitGroup
	slots   *slots.Shared
	known   recent.Map[[32]byte, time.Time] // until when a want is not looked for again
	rates   recent.Map[netip.Prefix, *rate.Limiter]

	mu       sync.Mutex
	flights  map[want]*flight
	failures int       // of the service, in a row
	retryAt  time.Time // when it is asked again
}

// flight is a lookup that runs. When done is closed, event is what was found, or
// nil.
type flight struct {
	want  want
	done  chan struct{}
	event *nostr.Event
}

func newCompleter(ctx context.Context, c Config) *completer {
	return &completer{
		fetch: c.Fetch, verify: c.Verify, denied: c.Denied, wait: c.Wait, ctx: ctx,
		slots: slots.New(lookupsInAll, lookupsOfAddress), flights: map[want]*flight{},
		known: recent.Map[[32]byte, time.Time]{Size: knownWants},
	}
}

// key is short, since many are remembered.
func (w want) key() [32]byte { return sha256.Sum256([]byte(w.id + w.address.String())) }

// knows reports whether a want was looked for lately.
func (c *completer) knows(w want) bool {
	until, known := c.known.Get(w.key())
	return known && time.Now().Before(until)
}

// ready reports whether the service answers, as far as is known.
func (c *completer) ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failures == 0
}

// ask returns the lookup of a want, which it begins if there is none, or nil where
// there may be none now.
func (c *completer) ask(address netip.Prefix, w want) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[w]; f != nil {
		return f
	}
	now := time.Now()
	if c.failures > 0 && now.Before(c.retryAt) || c.knows(w) || c.denied.ID(w.id) || c.denied.Key(w.address.PubKey) {
		return nil
	}
	leave, ok := c.slots.Take(address.String(), nil)
	if !ok {
		return nil
	}
	limiter, _ := c.rates.LoadOrStore(address, rate.NewLimiter(lookupsPerSecond, lookupsAtFirst))
	if !limiter.AllowN(now, 1) {
		leave()
		return nil
	}
	if c.failures > 0 { // this lookup finds out
		c.retryAt = now.Add(away.Wait(c.failures, rand.Float64()))
	}
	f := &flight{want: w, done: make(chan struct{})}
	c.flights[w] = f
	c.running.Go(func() {
		defer leave()
		defer close(f.done)
		f.event = c.look(w)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.flights, w)
	})
	return f
}

// look asks for a want, and returns the event if it may be shown.
func (c *completer) look(w want) *nostr.Event {
	ctx, cancel := context.WithTimeout(c.ctx, c.wait+answering)
	defer cancel()
	r := events.MissingNoteRequest{TimeoutMS: c.wait.Milliseconds()}
	if r.EventID = w.id; w.id == "" {
		r.Address = w.address.String()
	}
	response, err := c.fetch(ctx, r)
	c.mu.Lock()
	switch {
	case c.ctx.Err() != nil:
	case err != nil:
		c.failures++
		c.retryAt = time.Now().Add(away.Wait(c.failures, rand.Float64()))
	default:
		c.failures = 0
	}
	c.mu.Unlock()
	if err != nil {
		return nil
	}
	c.known.Put(w.key(), time.Now().Add(knownFor))
	e := response.Event
	if !response.Found || e == nil || !w.is(e) || nostr.Private(e.Kind) || c.denied.Event(e) || c.verify(e) != nil {
		return nil
	}
	return e
}

// close waits for the lookups that run; their context has ended.
func (c *completer) close() { c.running.Wait() }
