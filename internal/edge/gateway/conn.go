package gateway

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/deflate"
)

// conn is one client with its connection to the relay. Two goroutines pass
// messages on, and each REQ that is completed has one more.
type conn struct {
	gateway *Gateway
	share   netip.Prefix
	held    account
	hop     bool // another gateway or index, or a relaymesh, asks for what the relay itself has

	down, up *sink // to the client and to the relay

	ctx    context.Context //nolint:containedctx // ends with the connection
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	watching atomic.Bool // there are subs
	pace     pace        // of what the relay sends; of the goroutine that reads it

	mu            sync.Mutex
	subs          map[string]*sub // by id
	publishing    publishing
	authID        string // of the AUTH that was sent last
	public        bool   // all that the relay keeps from strangers is private, see authHeader
	challenged    bool   // the relay has asked for AUTH
	authenticated bool
}

// end is one end of a connection, with what has come of it beside the handshake.
type end struct {
	net.Conn

	came   []byte
	public bool // see conn
}

// serve passes messages on until one end has ended, and closes both.
func (c *conn) serve(client, relay end, compress bool) {
	c.public = relay.public
	stall := c.gateway.patience.stall
	c.down, c.up = &sink{conn: client, compress: compress, stall: stall, account: c.held}, &sink{conn: relay, stall: stall}
	var inflated *deflate.Meter
	if compress {
		inflated = &deflate.Meter{}
	}
	m := c.gateway.metrics
	fromRelay := pump{
		conn: c, from: newSource(relay, relay.came, stall), to: c.down, look: c.fromRelay, passed: m.down,
	}
	fromClient := pump{
		conn: c, from: newSource(client, client.came, stall), to: c.up, look: c.fromClient, passed: m.up,
		inflated: inflated, wasted: &deflate.Meter{},
	}
	fromClient.from.before = c.up.flush
	fromRelay.from.before = func() error {
		err := c.down.flush()
		if wait := c.pace.wait(time.Now(), fromRelay.from.full); wait > 0 {
			time.Sleep(wait)
		}
		return err
	}
	var once sync.Once
	var hard *time.Timer
	leave := func(other end) {
		once.Do(func() {
			hard = time.AfterFunc(c.gateway.patience.closing, func() {
				client.Close()
				relay.Close()
			})
			c.cancel()
		})
		halfClose(other.Conn)
	}
	stay := context.AfterFunc(c.ctx, func() {
		leave(relay)
		c.down.goAway()
	})
	c.tasks.Go(func() {
		c.gateway.ended("relay", fromRelay.run())
		_ = c.down.flush() // what came before the end
		stay()
		leave(client)
	})
	err := fromClient.run()
	inflated.Atone(c.ctx, err)
	c.gateway.ended("client", err)
	_ = c.up.flush() // likewise
	stay()
	leave(relay)
	c.tasks.Wait()
	hard.Stop()
	client.Close()
	relay.Close()
	fromRelay.from.close()
	fromClient.from.close()
	c.forgetAll()
}

// halfClose says that nothing comes any more. What the other side has yet to read
// is not lost, as it would be if the connection were closed while that side sends.
func halfClose(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // of a connection that is gone
	}
}

// forgetAll gives back what is held.
func (c *conn) forgetAll() {
	c.down.forget()
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.subs {
		c.forget(name)
	}
	if len(c.publishing.events) > 0 {
		c.dropUnheard()
	}
}

// fromClient looks at a message of the client; all of them pass.
func (c *conn) fromClient(text []byte) bool {
	l, id, rest := split(text)
	switch {
	case l == labelReq && id != nil:
		c.watch(id, rest)
	case l == labelClose && id != nil:
		name, _ := unquote(id)
		c.unwatch(name)
	case l == labelEvent && id == nil:
		c.onPublish(rest)
	case l == labelAuth && id == nil:
		c.onAuth(rest)
	}
	return true
}

// fromRelay looks at a message of the relay, and reports whether it is to pass now.
func (c *conn) fromRelay(text []byte) bool {
	l := labelOf(text)
	if l != labelEvent {
		c.pace.end()
	}
	if l == labelOther || l != labelOK && l != labelAuth && !c.watching.Load() {
		return true
	}
	_, id, rest := split(text)
	switch {
	case id == nil:
	case l == labelEvent:
		return c.onEvent(id, rest)
	case l == labelEOSE:
		return c.onEOSE(id, text)
	case l == labelClosed:
		return c.onClosed(id, text)
	case l == labelOK:
		c.onOK(id, rest)
	case l == labelAuth:
		c.onChallenge()
	}
	return true
}
