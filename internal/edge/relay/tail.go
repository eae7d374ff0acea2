package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Follow says what [Tail] follows and whom it tells. Its functions are called one
// at a time.
type Follow struct {
	// Filter selects the events; its Since, Until and Limit are ignored.
	Filter nostr.Filter
	// Since is the time, Unix seconds, from which on stored events are wanted:
	// the cursor minus an overlap, because relays receive events later than they
	// were made.
	Since int64
	// Takes is what the relay says of itself.
	Takes reconcile.Limits
	// Handle takes one event at a time: those that the relay had stored since
	// Since, newest first, and between them, as they arrive, those that it
	// receives, whatever their date. Some come more than once. While it
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

// Tail follows a relay over a connection of its own, until that ends, Handle or
// CaughtUp fails, or the context ends; the error says why. After each gap, and
// first, it pages back to Since, however little the relay gives at once. An event
// dated before Since that the relay received in a gap is not heard of.
func Tail(ctx context.Context, url string, o Options, f Follow) error {
	if o.timing.stall == 0 {
		o.timing.stall = tailStall
	}
	c, err := Dial(ctx, url, o)
	if err != nil {
		return err
	}
	defer c.Close()
	t := tail{conn: c, follow: f, from: max(0, f.Since)}
	for {
		err := t.run(ctx)
		// A subscription that ended for a slow handler lost nothing of a late
		// date that the next backfill will not bring, so the connection may stay.
		if !errors.Is(err, ErrSlowConsumer) {
			return err
		}
	}
}

// tail is the state of one connection.
type tail struct {
	conn   *Conn
	follow Follow

	mu       sync.Mutex // held while the functions of follow run
	from     int64      // everything dated before was handled
	caughtUp bool       // the backfill of this subscription is done
	reported time.Time
}

// overlap is how far behind the beginning of one subscription the backfill of
// the next one ends, in seconds.
const overlap = 60

// run follows the relay until the subscription ends.
func (t *tail) run(ctx context.Context) error {
	t.caughtUp = false
	filter := t.follow.Filter
	filter.Since, filter.Until = 0, 0
	return reconcile.Follow(ctx, t.conn, reconcile.Following{
		Filters: []nostr.Filter{filter}, Since: t.from, Takes: t.follow.Takes, Take: t.handle, CaughtUp: t.catchUp,
	})
}

// handle passes an event on, and says now and then that nothing is left out.
func (t *tail) handle(ctx context.Context, e nostr.Event, _ bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.follow.Handle(ctx, e); err != nil {
		return err
	}
	if now := time.Now(); t.caughtUp && now.Sub(t.reported) > reportEvery {
		return t.report(ctx, now)
	}
	return nil
}

// catchUp says that the backfill is done.
func (t *tail) catchUp(ctx context.Context, began time.Time, unreached string) error {
	if unreached != "" {
		t.conn.log.WarnContext(ctx, "the tail may lack stored events", "reason", "the relay "+unreached)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.caughtUp = true
	return t.report(ctx, began)
}

// report says that everything up to a time was handled; mu is held.
func (t *tail) report(ctx context.Context, through time.Time) error {
	t.reported = time.Now()
	t.from = max(t.from, through.Unix()-overlap)
	return t.follow.CaughtUp(ctx, through.Unix())
}
