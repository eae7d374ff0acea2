package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
	"github.com/relaymesh/relaymesh/internal/edge/slots"
	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Config says where a gateway listens, for which relay, and with whose help.
type Config struct {
	Addr    string // host:port to listen on; "" is a free port of 127.0.0.1
	Relay   string // URL of the relay, ws or wss
	Version string // of relaymesh, for the NIP-11 document
	// TrustedProxies are the proxies before the gateway that are believed which
	// address a client has.
	TrustedProxies clientaddr.Proxies
	// Certificate returns what the gateway shows to clients; nil is to speak no TLS.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// Fetch finds what the relay lacks, and writes it to the relay. An error says
	// that nobody could be asked. Nil is to complete nothing.
	Fetch func(ctx context.Context, r events.MissingNoteRequest) (events.MissingNoteResponse, error)
	// Verify checks the shape, id and signature of an event.
	Verify func(*nostr.Event) error
	// Wait is for how long a client waits for what the relay lacks; 0 is 1.5 s.
	Wait time.Duration
	// Hear takes each event that the relay accepts, as JSON; it must not block. Nil
	// is to hear nothing.
	Hear func(event []byte)
	// Denied is what nobody is shown that the relay itself does not show; nil none.
	Denied *deny.Lists

	// Files is how many files the gateway may have open, two for each client; 0 is
	// as many as the process may.
	Files int

	Registerer prometheus.Registerer // for the metrics; nil for none
	Log        *slog.Logger

	patience patience // tests shorten it
}

// patience is for how long a side is waited for that is slow or silent.
type patience struct {
	header    time.Duration // that of a client's request
	handshake time.Duration // the relay's answer to one
	stall     time.Duration // that the rest of a message goes on coming, or what is written to go
	slow      time.Duration // until a large message passes unread that is not yet complete
	closing   time.Duration // that it closes when the other side has ended
}

var defaultPatience = patience{
	header: 5 * time.Second, handshake: 10 * time.Second, stall: time.Minute, slow: 5 * time.Second, closing: 2 * time.Second,
}

const (
	defaultWait = 1500 * time.Millisecond

	bodyTimeout    = 5 * time.Minute // of a request that is no websocket, and of its answer
	idleTimeout    = time.Minute
	maxHeaderBytes = 16 << 10
)

// Gateway serves. It is made by [Start].
type Gateway struct {
	relay     *url.URL
	proxies   clientaddr.Proxies
	tls       *tls.Config // to the relay
	secure    bool        // clients speak TLS to us
	hear      func(event []byte)
	verify    func(*nostr.Event) error
	heard     recent.Map[string, struct{}]
	completer *completer // nil for none
	held      *ledger
	slots     *slots.Shared
	metrics   *metrics
	patience  patience
	plain     http.Handler
	log       *slog.Logger

	ctx     context.Context //nolint:containedctx // ends with the gateway
	cancel  context.CancelFunc
	serving slots.Serving

	addr   net.Addr
	server *http.Server
	served chan error
	close  func() error
}

// Start serves until [Gateway.Close]. The context bounds the start only. The relay
// need not be there.
func Start(ctx context.Context, c Config) (*Gateway, error) {
	at, err := nostr.NormalizeRelayURL(c.Relay, true)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	relay, err := url.Parse(at)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", cmp.Or(c.Addr, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("gateway: listen on %s: %w", c.Addr, err)
	}
	c.Wait = cmp.Or(c.Wait, defaultWait)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	clients, beside := within(cmp.Or(c.Files, slots.Files()), c.Log)
	ofAddress := max(clients/8, 1)
	g := &Gateway{
		relay: relay, proxies: c.TrustedProxies, secure: c.Certificate != nil, hear: c.Hear, verify: c.Verify,
		heard: recent.Map[string, struct{}]{Size: heardIDs},
		held:  newLedger(heldInAll, heldOfAddress), slots: slots.New(clients, ofAddress),
		patience: cmp.Or(c.patience, defaultPatience), log: c.Log, addr: ln.Addr(), served: make(chan error, 1),
	}
	g.metrics = newMetrics(c.Registerer, g.slots.Taken)
	g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	g.plain = g.newPlain(c)
	if c.Fetch != nil {
		g.completer = newCompleter(g.ctx, c)
	}
	g.server = &http.Server{
		Handler: g, ReadHeaderTimeout: g.patience.header, ReadTimeout: bodyTimeout, WriteTimeout: bodyTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	ln = &slots.Listener{
		Listener: ln, Slots: slots.New(clients+beside, ofAddress+unaskedOfAddress), Refused: g.metrics.refused.Inc,
		// Those of proxies that are believed are clients of many addresses, and are counted as such alone.
		Exempt: func(conn net.Conn) bool { return c.TrustedProxies.Trust(slots.AddrOf(conn.RemoteAddr())) },
	}
	if c.Certificate != nil {
		// Websockets are those of HTTP/1.1.
		ln = tls.NewListener(ln, &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.Certificate,
		})
	}
	go func() { g.served <- g.server.Serve(ln) }()
	g.close = sync.OnceValue(g.shutdown)
	return g, nil
}

// URL is the websocket address, ws://host:port or wss://host:port.
func (g *Gateway) URL() string {
	if g.secure {
		return "wss://" + g.addr.String()
	}
	return "ws://" + g.addr.String()
}

// Figures say what a gateway does; all but Connections count since it began.
type Figures struct {
	Connections                      int           // of clients
	Messages                         int64         // that passed, both ways
	Watched, Completed, WaitedInVain int64         // REQs that name events, events that the relay lacked, REQs for which nothing was found
	Waits                            int64         // REQs whose EOSE waited
	Waited                           time.Duration // in all of these
}

// Figures returns what the gateway has done by now.
func (g *Gateway) Figures() Figures {
	m := g.metrics
	return Figures{
		Connections: g.slots.Taken(), Messages: m.up.n.Load() + m.down.n.Load(), Watched: m.watched.n.Load(), Completed: m.completed.n.Load(),
		WaitedInVain: m.vain.n.Load(), Waits: m.latency.n.Load(), Waited: time.Duration(m.latency.sum.Load()),
	}
}

// ended tells in the log why a side ended, if it did something wrong.
func (g *Gateway) ended(side string, err error) {
	if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		g.log.Debug("a connection ended", "connection", side, "err", err)
	}
}

// Ready reports why the relay cannot be reached; it takes up to two seconds.
func (g *Gateway) Ready() error {
	ctx, cancel := context.WithTimeout(g.ctx, 2*time.Second)
	defer cancel()
	relay, err := g.dial(ctx)
	if err != nil {
		return err
	}
	return relay.Close()
}

// Close stops listening, ends every connection with "going away" and returns when
// nothing runs any more.
func (g *Gateway) Close() error { return g.close() }

func (g *Gateway) shutdown() error {
	err := g.server.Close()
	if e := <-g.served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	g.cancel()
	g.serving.Close()
	if g.completer != nil {
		g.completer.close()
	}
	return err
}
