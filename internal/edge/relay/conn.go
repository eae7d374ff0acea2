package relay

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/semaphore"

	"github.com/relaymesh/relaymesh/internal/edge/deflate"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// Concurrent requests on one connection: what every relay of note accepts.
	// Most allow 20 subscriptions; those that say they allow fewer than ours in
	// their NIP-11 document are kept to, see [Conn.keepTo]. Live ones, which last
	// for hours, leave half of the slots to queries.
	maxSubscriptions   = 8
	maxLive            = maxSubscriptions / 2
	leastSubscriptions = 2 // a live one and a query
	maxNegSessions     = 8
	maxPublishing      = 100
	// A subscription's queue of events not yet passed on; one of its length is
	// verified together. When it is full the socket is not read on, up to
	// timing.stall.
	queueLength = 256
	queueBytes  = 8 << 20
	// maxKept is how large a buffer for messages is kept: it holds the usual
	// NEG-MSG.
	maxKept = 256 << 10
	// maxNotices bounds the notices of a connection; see [account] for what else
	// comes unasked.
	maxNotices   = 1000
	writeTimeout = 15 * time.Second
	// pongTimeout is on top of timing.stall: a stalled reader sees no pong.
	pongTimeout = 15 * time.Second
)

// Conn is a connection to one relay. All methods may be called concurrently.
// Three goroutines serve it: one reads the socket and hands messages to whom
// they concern, one writes, one pings.
type Conn struct {
	url  string
	opts Options
	log  *slog.Logger

	noticed atomic.Pointer[string] // the last NOTICE

	mostLimit atomic.Int64 // the largest limit of a filter that it does not refuse; 0 is unknown

	ws *websocket.Conn

	ctx     context.Context //nolint:containedctx // ends with the connection; its cause says why
	cancel  context.CancelCauseFunc
	running sync.WaitGroup
	out     chan []byte // to the writing goroutine

	subSlots, liveSlots *semaphore.Weighted
	subCost             atomic.Int64 // of one subscription, in slots
	negSlots, pubSlots  chan struct{}
	negOpening          chan struct{} // held from NEG-OPEN to its first answer, see opening

	lastID   atomic.Uint64
	lastUsed atomic.Int64 // Unix nanoseconds of the last request

	askedPrivate atomic.Bool // see findPrivate

	mu      sync.Mutex
	subs    map[string]*subscription
	negs    map[string]*NegSession
	opening *NegSession // the session that a NOTICE may be about
	oks     map[string][]chan reconcile.Reply
	auth    authState

	notices int // of the reading goroutine only
}

func newConn(ws *websocket.Conn, url string, o Options) *Conn {
	c := &Conn{
		url: url, opts: o, log: o.Log.With("relay", url), ws: ws,
		out:        make(chan []byte, 64),
		subSlots:   semaphore.NewWeighted(maxSubscriptions),
		liveSlots:  semaphore.NewWeighted(maxLive),
		negSlots:   make(chan struct{}, maxNegSessions),
		pubSlots:   make(chan struct{}, maxPublishing),
		negOpening: make(chan struct{}, 1),
		subs:       map[string]*subscription{},
		negs:       map[string]*NegSession{},
		oks:        map[string][]chan reconcile.Reply{},
		auth:       authState{arrived: make(chan struct{})},
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.keepTo(0)
	c.touch()
	c.running.Go(c.read)
	c.running.Go(c.write)
	c.running.Go(c.ping)
	return c
}

// URL is the normalised address of the relay.
func (c *Conn) URL() string { return c.url }

// Done is closed when the connection has ended; [Conn.Err] then says why.
func (c *Conn) Done() <-chan struct{} { return c.ctx.Done() }

// Err returns nil while the connection lives. A relay that has broken the protocol
// or a bound would do so again: that is [reconcile.ErrMisbehaving], all else
// [ErrConnClosed].
func (c *Conn) Err() error {
	if c.ctx.Err() == nil {
		return nil
	}
	cause := context.Cause(c.ctx)
	if errors.Is(cause, reconcile.ErrMisbehaving) {
		return named{c.url, fmt.Errorf("connection closed: %w", cause)}
	}
	return named{c.url, fmt.Errorf("%w: %w", ErrConnClosed, cause)}
}

// Close ends the connection and everything that waits on it, and returns when
// its goroutines have ended.
func (c *Conn) Close() {
	c.fail(errors.New("closed by us"))
	c.running.Wait()
}

// fail ends the connection; the first cause stays.
func (c *Conn) fail(cause error) {
	if errors.Is(cause, reconcile.ErrMisbehaving) {
		c.opts.account.exhaust(cause, time.Now()) // before anybody dials again
	}
	c.cancel(cause)
	// Without the close handshake, for which a stalled relay could make us wait.
	_ = c.ws.CloseNow() // it is gone either way
}

func (c *Conn) touch() { c.lastUsed.Store(time.Now().UnixNano()) }

// idleSince returns when the connection was last used, and false while
// anything waits on it.
func (c *Conn) idleSince() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	busy := len(c.subs) + len(c.negs) + len(c.oks)
	return time.Unix(0, c.lastUsed.Load()), busy == 0
}

// nextID returns an id that was never used on this connection: relays that
// handle messages in parallel may see a CLOSE after the next REQ.
func (c *Conn) nextID(prefix string) string {
	return prefix + strconv.FormatUint(c.lastID.Add(1), 36)
}

// send queues a message; it waits while the relay does not read.
func (c *Conn) send(ctx context.Context, msg []byte) error {
	c.touch()
	c.opts.account.asked()
	select {
	case c.out <- msg:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return c.Err()
	}
}

// tell queues a message that nobody waits for, such as CLOSE. It must not be
// dropped: a subscription that stays open at the relay goes on sending. The
// wait ends with the connection, which a relay that does not read loses.
func (c *Conn) tell(elements ...any) {
	_ = c.send(c.ctx, nostr.Message(elements...)) // a connection that has ended needs no CLOSE
}

// acquire takes a slot of a semaphore, for a request.
func (c *Conn) acquire(ctx context.Context, slots chan struct{}) error {
	c.afterIntroduction(ctx)
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return c.Err()
	}
}

// keepTo makes the subscriptions from now on no more at a time than a relay
// allows; 0 is as many as there may be anyway.
func (c *Conn) keepTo(allowed int) {
	if allowed <= 0 || allowed > maxSubscriptions {
		allowed = maxSubscriptions
	}
	allowed = max(allowed, leastSubscriptions)
	c.subCost.Store(int64((maxSubscriptions + allowed - 1) / allowed))
}

// enter takes the slots of a subscription, and leave gives them back.
func (c *Conn) enter(ctx context.Context, live bool) (leave func(), err error) {
	c.afterIntroduction(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	cost, held := c.subCost.Load(), []*semaphore.Weighted{}
	leave = func() {
		for _, slots := range held {
			slots.Release(cost)
		}
	}
	want := []*semaphore.Weighted{c.subSlots}
	if live {
		want = []*semaphore.Weighted{c.liveSlots, c.subSlots}
	}
	for _, slots := range want {
		if err := slots.Acquire(ctx, cost); err != nil {
			leave()
			return nil, cmp.Or(c.Err(), err)
		}
		held = append(held, slots)
	}
	return leave, nil
}

func (c *Conn) write() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case msg := <-c.out:
			ctx, cancel := context.WithTimeout(c.ctx, writeTimeout)
			err := c.ws.Write(ctx, websocket.MessageText, msg)
			cancel()
			if err != nil {
				c.fail(disconnected(err))
				return
			}
		}
	}
}

func (c *Conn) ping() {
	every := time.NewTicker(c.opts.timing.ping)
	defer every.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-every.C:
			ctx, cancel := context.WithTimeout(c.ctx, c.opts.timing.stall+pongTimeout)
			err := c.ws.Ping(ctx)
			cancel()
			if err != nil {
				c.fail(disconnected(err))
				return
			}
		}
	}
}

func (c *Conn) read() {
	var buf bytes.Buffer
	for {
		if buf.Cap() > maxKept {
			buf = bytes.Buffer{}
		}
		buf.Reset()
		_, r, err := c.ws.Reader(c.ctx) // some relays send their text in binary messages
		if err == nil {
			_, err = buf.ReadFrom(c.opts.meter.Text(c.ctx, r))
		}
		if errors.Is(err, websocket.ErrMessageTooBig) || errors.Is(err, deflate.ErrWasteful) {
			err = fmt.Errorf("%w: %w", reconcile.ErrMisbehaving, err)
		}
		if err != nil {
			c.fail(disconnected(err))
			return
		}
		if err := c.dispatch(buf.Bytes()); err != nil {
			c.fail(err)
			return
		}
	}
}
