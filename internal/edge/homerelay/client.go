package homerelay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/deflate"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// client is one connection. Its messages are taken one after the other by the
// goroutine that reads; one writes, and each EVENT, REQ, session and ping that is
// at work has its own. What a message starts is counted before it
// starts, so the number of goroutines and their memory are bounded whatever
// the client sends.
type client struct {
	relay *Relay
	ws    *websocket.Conn
	host  string // as the client dialled it
	hop   bool   // it looks up itself what this relay lacks
	hold  *holding

	ctx     context.Context //nolint:containedctx // ends with the connection; its cause says why
	cancel  context.CancelCauseFunc
	running sync.WaitGroup

	out        chan []byte // to the writing goroutine
	feed       *feed       // likewise, of live events
	publishing chan struct{}
	querying   chan struct{}

	// Of the reading goroutine only.
	meter     *deflate.Meter // of what messages inflate to
	inflating int            // bytes that it takes while a message comes

	viewer atomic.Pointer[viewer] // stored by the reading goroutine

	mu         sync.Mutex
	subs       map[string]*subscription
	held       int // bytes of the REQs in subs
	sessions   map[string]*session
	challenged string // the challenge of NIP-42, "" until it was sent
}

// newClient makes the client of a connection that was admitted; ctx ends with
// it.
func newClient(ctx context.Context, cancel context.CancelCauseFunc, r *Relay, h *holding, ws *websocket.Conn, host string) *client {
	c := &client{
		relay: r, ws: ws, host: host, hold: h, ctx: ctx, cancel: cancel,
		out:        make(chan []byte, outLength),
		feed:       newFeed(),
		publishing: make(chan struct{}, maxPublishing),
		querying:   make(chan struct{}, maxQuerying),
		subs:       map[string]*subscription{},
		sessions:   map[string]*session{},
	}
	c.viewer.Store(&viewer{All: h.party.own})
	ws.SetReadLimit(maxMessage)
	return c
}

// serve returns when the connection has ended and nothing of it runs.
func (c *client) serve() {
	c.relay.clients.add(c)
	defer c.relay.clients.remove(c)
	defer c.forgetAll()
	defer c.running.Wait()
	defer c.end(errors.New("served"))
	c.running.Go(c.write)
	c.end(c.read())
}

// end ends the connection; the first cause stays. There is no handshake, for
// which a client could make us wait.
func (c *client) end(cause error) {
	c.cancel(cause)
	_ = c.ws.CloseNow()
}

func (c *client) read() error {
	for {
		data, err := c.readMessage()
		if err != nil {
			c.meter.Atone(c.ctx, err)
			return fmt.Errorf("read: %w", err)
		}
		c.hold.active.Store(time.Now().UnixNano())
		// Its parts are copies.
		if c.keep(len(data)) {
			c.dispatch(data)
			c.drop(len(data) + cap(data))
		}
	}
}

func (c *client) dispatch(data []byte) {
	var m message
	var err error
	if !c.work(len(data), func() { m, err = parseMessage(data) }) {
		return
	}
	if err != nil {
		c.tell("NOTICE", "invalid: "+err.Error())
		return
	}
	switch m.label {
	case "EVENT":
		c.onEvent(m)
	case "REQ":
		c.onReq(m)
	case "CLOSE":
		c.onClose(m)
	case "COUNT":
		c.onCount(m)
	case "AUTH":
		c.onAuth(m)
	case "NEG-OPEN":
		c.onNegOpen(m)
	case "NEG-MSG":
		c.onNegMsg(m)
	case "NEG-CLOSE":
		c.onNegClose(m)
	default:
		c.tell("NOTICE", "unsupported: unknown kind of message")
	}
}

// send queues a message; it waits while the client does not read, and reports
// whether the message will be written.
func (c *client) send(ctx context.Context, msg []byte) bool {
	if !c.keep(cap(msg)) {
		return false
	}
	select {
	case c.out <- msg:
		return true
	case <-ctx.Done():
		c.drop(cap(msg))
		return false
	}
}

// tell queues a message of these elements, unless the connection has ended.
func (c *client) tell(elements ...any) { c.send(c.ctx, nostr.Message(elements...)) }

// write writes messages, and pings.
func (c *client) write() {
	every := time.NewTicker(pingInterval)
	defer every.Stop()
	for {
		var msg []byte
		queued := 0
		select {
		case <-c.ctx.Done():
			return
		case msg = <-c.out:
			queued = cap(msg)
		case <-c.feed.more:
			if msg = c.nextUpdate(); msg == nil {
				continue
			}
		case <-every.C:
			c.running.Go(c.ping)
			continue
		}
		ctx, cancel := context.WithTimeout(c.ctx, writeTimeout)
		err := c.ws.Write(ctx, websocket.MessageText, msg)
		cancel()
		if err != nil {
			c.end(fmt.Errorf("write: %w", err))
			return
		}
		c.drop(queued) // 0 for a live event
		recycle(msg)
	}
}

// ping ends the connection if no pong comes.
func (c *client) ping() {
	ctx, cancel := context.WithTimeout(c.ctx, pongTimeout)
	defer cancel()
	if err := c.ws.Ping(ctx); err != nil {
		c.end(fmt.Errorf("ping: %w", err))
	}
}

// acquire takes a slot of a semaphore and reports whether it did before the
// context ended.
func acquire(ctx context.Context, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
