package relay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/pager"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Follow says what [Tail] follows and whom it tells.
type Follow struct {
	// Filter selects the events; its Since, Until and Limit are ignored.
	Filter nostr.Filter
	// Since is asked at every connection for the time, Unix seconds, from
	// which on events are wanted: the cursor minus an overlap, because relays
	// receive events later than they were made.
	Since func() int64
	// Handle takes one event at a time, in the order in which the relay sent
	// them: stored ones newest first. Some come more than once. While it
	// blocks the relay is not read. An error ends the Tail.
	Handle func(ctx context.Context, e nostr.Event) error
	// CaughtUp says that everything that the relay had by through, Unix
	// seconds, was handled: the cursor may move there, and only there, because
	// an event's own time is its author's word. It is called after every
	// backfill, and from then on with the events, at most every few seconds.
	// An error ends the Tail.
	CaughtUp func(ctx context.Context, through int64) error
}

const (
	// reportEvery is how often a Tail without gaps says so.
	reportEvery = 5 * time.Second
	// tailStall is how long a handler may block before its subscription is
	// given up, to be made again. A tail has its connection to itself, and
	// relays close after 60 s without a pong.
	tailStall = 50 * time.Second
)

// handlerError marks errors of the caller's own functions, which end a Tail.
type handlerError struct{ error }

func (e handlerError) Unwrap() error { return e.error }

// Tail follows a relay over its own connection until the context ends or
// Handle or CaughtUp fails, whose error it returns. It connects again with
// growing, jittered waits, asks again after every CLOSED, and after each gap
// pages back to Since, however little the relay gives at once.
func Tail(ctx context.Context, url string, o Options, f Follow) error {
	if o.timing.stall == 0 {
		o.timing.stall = tailStall
	}
	o = o.withDefaults()
	url, err := nostr.NormalizeRelayURL(url, o.AllowPrivate)
	if err != nil {
		return err
	}
	for state := (health.State{}); ; {
		began := time.Now()
		err := followOnce(ctx, url, o, f)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if h := (handlerError{}); errors.As(err, &h) {
			return h.error
		}
		if health.Tail.Steady(time.Since(began)) {
			state = health.State{}
		}
		now := time.Now()
		state = health.Tail.Next(state, health.Failed, now, rand.Float64())
		wait := state.LeftAloneUntil.Sub(now)
		o.Log.WarnContext(ctx, "tail interrupted", "relay", url, "err", err, "wait", wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// followOnce is one connection of a Tail; it ends with an error.
func followOnce(ctx context.Context, url string, o Options, f Follow) error {
	c, err := Dial(ctx, url, o)
	if err != nil {
		return err
	}
	defer c.Close()
	t := tail{conn: c, follow: f, from: max(0, f.Since())}
	for {
		if err := t.catchUp(ctx); err != nil {
			return err
		}
		// A subscription that ended for a slow handler lost nothing that the
		// next backfill will not bring, so the connection may stay.
		if err := t.live(ctx); !errors.Is(err, ErrSlowConsumer) {
			return err
		}
	}
}

// tail is the state of one connection: everything before from was handled.
type tail struct {
	conn   *Conn
	follow Follow
	from   int64
}

// liveOverlap is how far the live subscription reaches back behind the
// backfill, for events that arrived between the two.
const liveOverlap = 60

// catchUp handles everything stored since t.from.
func (t *tail) catchUp(ctx context.Context) error {
	began := time.Now().Unix()
	if err := t.page(ctx, 0); err != nil {
		return err
	}
	return t.caughtUp(ctx, began)
}

// caughtUp reports that everything up to a time was handled.
func (t *tail) caughtUp(ctx context.Context, through int64) error {
	t.from = max(t.from, through-liveOverlap)
	if err := t.follow.CaughtUp(ctx, through); err != nil {
		return handlerError{err}
	}
	return nil
}

// page walks from until (0 is the end of time) back to t.from.
func (t *tail) page(ctx context.Context, until int64) error {
	for p := pager.New(t.filter(until)); ; {
		for e, err := range t.conn.Query(ctx, p.Filter()) {
			if err != nil {
				return err
			}
			if !p.Add(&e) {
				continue
			}
			if err := t.follow.Handle(ctx, e); err != nil {
				return handlerError{err}
			}
		}
		if _, more := p.Next(false); !more {
			return nil
		}
	}
}

func (t *tail) filter(until int64) nostr.Filter {
	f := t.follow.Filter
	f.Since, f.Until, f.Limit = t.from, until, 0
	return f
}

// live subscribes and handles what comes, until the subscription ends.
func (t *tail) live(ctx context.Context) error {
	began := time.Now().Unix()
	stored, oldest := true, int64(0)
	reported := time.Now()
	for u, err := range t.conn.Subscribe(ctx, t.filter(0)) {
		switch {
		case err != nil:
			return err
		case u.EOSE:
			stored = false
			// The stored part may have been cut short as well.
			if oldest > 0 {
				if err := t.page(ctx, oldest); err != nil {
					return err
				}
			}
			if err := t.caughtUp(ctx, began); err != nil {
				return err
			}
		default:
			if stored && (oldest == 0 || u.Event.CreatedAt < oldest) {
				oldest = u.Event.CreatedAt
			}
			if err := t.follow.Handle(ctx, u.Event); err != nil {
				return handlerError{err}
			}
		}
		if !stored && time.Since(reported) > reportEvery {
			reported = time.Now()
			if err := t.caughtUp(ctx, reported.Unix()); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("relay %s: %w", t.conn.url, ErrConnClosed)
}
