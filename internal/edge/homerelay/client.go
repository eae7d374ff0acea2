package homerelay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// client is one connection. Its messages are taken one after the other by the
// goroutine that reads; one writes, one pings, and each EVENT, REQ and session
// that is at work has its own. What a message starts is counted before it
// starts, so the number of goroutines and their memory are bounded whatever
// the client sends.
type client struct {
	relay *Relay
	ws    *websocket.Conn
	host  string // as the client dialled it

	ctx     context.Context //nolint:containedctx // ends with the connection; its cause says why
	cancel  context.CancelCauseFunc
	running sync.WaitGroup

	out        chan []byte // to the writing goroutine
	feed       chan update // likewise, of live events
	lag        atomic.Int64
	publishing chan struct{}
	querying   chan struct{}

	// Of the reading goroutine only.
	challenge string // of NIP-42, "" until it was sent

	viewer atomic.Pointer[viewer] // stored by the reading goroutine

	mu       sync.Mutex
	subs     map[string]*subscription
	held     int // bytes of the REQs in subs
	sessions map[string]*session
}

func newClient(r *Relay, ws *websocket.Conn, host string, v *viewer) *client {
	c := &client{
		relay: r, ws: ws, host: host,
		out:        make(chan []byte, outLength),
		feed:       make(chan update, feedLength),
		publishing: make(chan struct{}, maxPublishing),
		querying:   make(chan struct{}, maxQuerying),
		subs:       map[string]*subscription{},
		sessions:   map[string]*session{},
	}
	c.ctx, c.cancel = context.WithCancelCause(r.ctx)
	c.viewer.Store(v)
	ws.SetReadLimit(maxMessage)
	return c
}

// serve returns when the connection has ended and nothing of it runs.
func (c *client) serve() {
	c.relay.clients.add(c)
	defer c.relay.clients.remove(c)
	defer c.running.Wait()
	defer c.end(errors.New("served"))
	c.running.Go(c.write)
	c.running.Go(c.ping)
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
		kind, data, err := c.ws.Read(c.ctx)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		// Text that is not UTF-8 would be served to clients that refuse it.
		if kind != websocket.MessageText || !utf8.Valid(data) {
			return errors.New("a message that is not text")
		}
		c.dispatch(data)
	}
}

func (c *client) dispatch(data []byte) {
	m, err := parseMessage(data)
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
	select {
	case c.out <- msg:
		return true
	case <-ctx.Done():
		return false
	}
}

// tell queues a message of these elements, unless the connection has ended.
func (c *client) tell(elements ...any) { c.send(c.ctx, nostr.Message(elements...)) }

func (c *client) write() {
	for {
		var msg []byte
		select {
		case <-c.ctx.Done():
			return
		case msg = <-c.out:
		case u := <-c.feed:
			c.lag.Add(int64(-len(u.event)))
			if u.sub.ctx.Err() != nil {
				continue
			}
			msg = eventMessage(u.sub.id, u.event)
		}
		ctx, cancel := context.WithTimeout(c.ctx, writeTimeout)
		err := c.ws.Write(ctx, websocket.MessageText, msg)
		cancel()
		if err != nil {
			c.end(fmt.Errorf("write: %w", err))
			return
		}
	}
}

func (c *client) ping() {
	every := time.NewTicker(pingInterval)
	defer every.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-every.C:
			ctx, cancel := context.WithTimeout(c.ctx, pongTimeout)
			err := c.ws.Ping(ctx)
			cancel()
			if err != nil {
				c.end(fmt.Errorf("ping: %w", err))
				return
			}
		}
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
