package homerelay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
	"github.com/relaymesh/relaymesh/internal/edge/slots"
	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Config says where the relay listens and keeps its events.
type Config struct {
	Addr        string       // host:port to listen on; "" is a free port of 127.0.0.1
	URL         string       // by which clients reach it; "" is by the address alone
	Path        string       // the store's file; its directory is made
	Name        string       // NIP-11 name; "" is "relaymesh home relay"
	Description string       // NIP-11 description
	PubKey      string       // NIP-11 operator key, hex
	Contact     string       // NIP-11 contact
	Log         *slog.Logger // nil is slog.Default
	Denied      *deny.Lists  // events that are not taken in; nil denies none

	// TrustedProxies are the addresses of proxies before the relay, whose
	// X-Forwarded-For tells the address of the client; nobody else's does.
	TrustedProxies clientaddr.Proxies

	// Kinds are all that the relay takes from clients, with deletions and requests to vanish that may end an event of
	// theirs; nil is every kind.
	Kinds []int
	// MaxBytes bounds what a relay of certain kinds keeps: beyond it, and for others than its own process beyond nine tenths of
	// it, new authors of who has brought most give way to those of who has brought less; 0 is no bound.
	MaxBytes int64
	// LookUp finds elsewhere the replaceable events at addresses which a REQ asks for and the store lacks, and stores them,
	// until the context ends; nil looks nothing up.
	LookUp func(ctx context.Context, lacking []nostr.Address)
	// Info returns more fields of the NIP-11 document; nil has none.
	Info func() map[string]any
	// Pages answers HTTP requests for paths other than "/"; nil leaves them to NIP-11.
	Pages http.Handler

	sessionTimeout time.Duration // tests shorten it
	maxFiles       int           // tests set it
	headerTimeout  time.Duration // tests set it
}

// Relay is a relay that serves. It is made by [Start].
type Relay struct {
	url            string
	token          string
	info           func() []byte // the NIP-11 document
	lookUp         func(context.Context, []nostr.Address)
	pages          http.Handler
	log            *slog.Logger
	sessionTimeout time.Duration
	lookEvery      time.Duration // of Guard

	store   *store
	sets    *sets
	clients *clients
	ledger  *ledger
	working *gate                  // what takes the processor
	forgers recent.Map[party, int] // how many of their next events are verified one by one
	proxies clientaddr.Proxies

	ctx    context.Context //nolint:containedctx // ends with Close
	cancel context.CancelFunc
	server *http.Server
	served chan error
	close  func() error
}

// Start opens the store and serves until [Relay.Close]. The context bounds the
// start only.
func Start(ctx context.Context, c Config) (*Relay, error) {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.sessionTimeout == 0 {
		c.sessionTimeout = sessionTimeout
	}
	if c.headerTimeout == 0 {
		c.headerTimeout = readHeaderTimeout
	}
	if c.maxFiles == 0 {
		c.maxFiles = slots.Files()
	}
	if err := os.MkdirAll(filepath.Dir(c.Path), 0o700); err != nil {
		return nil, fmt.Errorf("home relay: %w", err)
	}
	store, err := openStore(c.Path)
	if err != nil {
		return nil, err
	}
	store.denied, store.kinds, store.maxBytes = c.Denied, c.Kinds, c.MaxBytes
	if c.Kinds != nil {
		if err := store.keepWhole(); err != nil {
			return nil, errors.Join(fmt.Errorf("home relay: read the set of %s: %w", c.Path, err), store.Close())
		}
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("home relay: listen on %s: %w", c.Addr, err), store.Close())
	}
	r := &Relay{
		url:            "ws://" + ln.Addr().String(),
		token:          rand.Text(),
		info:           infoOf(c),
		lookUp:         c.LookUp,
		pages:          c.Pages,
		log:            c.Log,
		sessionTimeout: c.sessionTimeout,
		lookEvery:      lookEvery,
		store:          store,
		clients:        newClients(),
		ledger:         newLedger(sharesWithin(c.maxFiles, c.Log)),
		working:        newGate(runtime.GOMAXPROCS(0)),
		proxies:        c.TrustedProxies,
		served:         make(chan error, 1),
	}
	of := r.ledger.shares[connections]
	counted := &slots.Listener{
		Listener: ln, Slots: slots.New(of.all+of.all/unaskedInAll, of.party+unaskedOfAddress),
		// The pipeline's own come from the address that they go to. Those of proxies are clients of many addresses.
		Exempt: func(conn net.Conn) bool {
			from := slots.AddrOf(conn.RemoteAddr())
			return from == slots.AddrOf(conn.LocalAddr()) || c.TrustedProxies.Trust(from)
		},
	}
	store.urls = ownURLs(ln.Addr(), c.URL)
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.sets = newSets(r.ctx, store, r.ledger)
	r.server = &http.Server{
		Handler:           r,
		ReadHeaderTimeout: c.headerTimeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
	}
	go func() { r.served <- r.server.Serve(counted) }()
	r.close = sync.OnceValue(r.shutdown)
	return r, nil
}

// URL is the websocket address, ws://host:port.
func (r *Relay) URL() string { return r.url }

// Token opens the whole relay, private events included, to a handshake with the
// header "Authorization: Bearer" and it, and gives it slots that nobody else can
// take. It is new with every start, and for the process of the relay alone.
func (r *Relay) Token() string { return r.token }

// Ready reports why a client of an address of its own would not get in, or could
// not write; it takes up to two seconds.
func (r *Relay) Ready() error {
	if damage := r.store.damage.Load(); damage != nil {
		return damage
	}
	if r.store.gone() {
		return fmt.Errorf("%s: %w", r.store.path, errGone)
	}
	if err := errors.Join(r.store.takes(), r.ledger.full()); err != nil {
		return err
	}
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, "http"+strings.TrimPrefix(r.url, "ws"), http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("it does not answer: %w", err)
	}
	return resp.Body.Close()
}

// Close stops listening, ends every connection, waits for writes that run and
// closes the store; further calls return what the first returned.
func (r *Relay) Close() error { return r.close() }

func (r *Relay) shutdown() error {
	err := r.server.Close()
	if e := <-r.served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	r.cancel()
	r.ledger.close()
	r.clients.serving.Close()
	return errors.Join(err, r.store.Close())
}
