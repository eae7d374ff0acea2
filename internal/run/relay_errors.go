package run

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// side is a relay as a side of a sync: it says which failures may pass.
type side struct {
	pool *relay.Pool
	url  string
}

// conn returns the connection; that there is none just now may pass.
func (s side) conn(ctx context.Context) (*relay.Conn, error) {
	c, err := s.pool.Conn(ctx, s.url)
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%w: %w", reconcile.ErrInterrupted, err)
	}
	return c, err
}

// Open opens a NIP-77 session.
func (s side) Open(ctx context.Context, filter nostr.Filter, first []byte) (reconcile.Session, []byte, error) {
	c, err := s.conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	_, span := span(ctx, "relay negentropy", atRelay(s.url))
	session, answer, err := c.OpenNegentropy(ctx, filter, first)
	if err != nil {
		bus.End(span, err)
	}
	if err != nil {
		return nil, nil, reconcile.OpenError(err)
	}
	return &negSession{NegSession: session, span: span}, answer, nil
}

// Query yields the stored events that match.
func (s side) Query(ctx context.Context, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		c, err := s.conn(ctx)
		if err != nil {
			yield(nostr.Event{}, err)
			return
		}
		list := func(ctx context.Context) iter.Seq2[nostr.Event, error] { return c.Query(ctx, filter) }
		for e, err := range traced(ctx, "relay query", list, atRelay(s.url)) {
			if !yield(e, err) {
				return
			}
		}
	}
}

// Publish writes an event and waits for the OK.
func (s side) Publish(ctx context.Context, e nostr.Event) (reply reconcile.Reply, err error) {
	c, err := s.conn(ctx)
	if err != nil {
		return reply, err
	}
	return c.Publish(ctx, e)
}

type negSession struct {
	*relay.NegSession

	span     trace.Span
	messages atomic.Int64 // after the first
}

// Close ends the session.
func (s *negSession) Close() {
	s.NegSession.Close()
	s.span.SetAttributes(attribute.Int64("relay.messages", 1+s.messages.Load()))
	s.span.End()
}

// Exchange sends a message and returns the answer.
func (s *negSession) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	s.messages.Add(1)
	answer, err := s.NegSession.Exchange(ctx, msg)
	return answer, err
}

// sides are the relays as the sides of syncs.
type sides struct {
	relays

	limits *limits
}

func newSides(r relays) sides { return sides{r, &limits{of: map[string]limit{}}} }

func (s sides) at(url string) (side, error) {
	pool, err := s.pool(url)
	return side{pool, url}, err
}

// Query yields the stored events of a relay that match.
func (s sides) Query(ctx context.Context, url string, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
	at, err := s.at(url)
	if err != nil {
		return func(yield func(nostr.Event, error) bool) { yield(nostr.Event{}, err) }
	}
	return at.Query(ctx, filter)
}

// Subscribe yields what matches now, a mark, and what arrives from then on.
func (s sides) Subscribe(ctx context.Context, url string, filters ...nostr.Filter) iter.Seq2[syncing.Update, error] {
	return func(yield func(syncing.Update, error) bool) {
		at, err := s.at(url)
		var c *relay.Conn
		if err == nil {
			c, err = at.conn(ctx)
		}
		if err != nil {
			yield(syncing.Update{}, err)
			return
		}
		for u, err := range c.Subscribe(ctx, filters...) {
			if !yield(syncing.Update(u), err) {
				return
			}
		}
	}
}

// Publish writes an event to a relay and waits for the OK.
func (s sides) Publish(ctx context.Context, url string, e nostr.Event) (reply reconcile.Reply, err error) {
	at, err := s.at(url)
	if err != nil {
		return reply, err
	}
	return at.Publish(ctx, e)
}

// Negentropy opens a NIP-77 session with a relay.
func (s sides) Negentropy(ctx context.Context, url string, filter nostr.Filter, first []byte) (syncing.Session, []byte, error) {
	at, err := s.at(url)
	if err != nil {
		return nil, nil, err
	}
	return at.Open(ctx, filter, first)
}

// Accepts returns the largest negentropy message that a relay says it takes.
func (s sides) Accepts(ctx context.Context, url string) int {
	pool, err := s.pool(url)
	if err != nil {
		return 0
	}
	return s.limits.get(url, time.Now(), func() (int, error) { return accepts(ctx, pool, url) })
}

const (
	// limitFor is how long a relay's word about its limits stands: a relay is
	// synced many times a day.
	limitFor = 6 * time.Hour
	// maxLimits bounds how many relays' words are kept.
	maxLimits = 10_000
)

// limits are what relays have said of the messages that they take.
type limits struct {
	mu sync.Mutex
	of map[string]limit // by URL
}

type limit struct {
	size  int
	until time.Time
}

// get returns what a relay has said, which ask finds out: 0 if it did not say, or
// did not answer, and then it is asked again the next time.
func (l *limits) get(url string, now time.Time, ask func() (int, error)) int {
	l.mu.Lock()
	known := l.of[url]
	l.mu.Unlock()
	if now.Before(known.until) {
		return known.size
	}
	size, err := ask()
	if err != nil {
		return 0
	}
	known = limit{size, now.Add(limitFor)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.of) >= maxLimits {
		clear(l.of)
	}
	l.of[url] = known
	return known.size
}
