package run

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/jsonl"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// relays are the relays of the world and the one that we stand beside, which
// the operator named and which may therefore be anywhere.
type relays struct {
	world   *relay.Pool
	home    *relay.Pool
	homeURL string
	public  []string // URLs of home that are not dialled
	only    []string // if not empty, no other relay of the world is talked to
	options relay.Options

	libp2p Libp2p                      // nil: none is reached by it
	known  stage.Store[contract.Relay] // of which some say where they are on libp2p; nil: of none
	proven *proven                     // nil: no relay is
	lines  *jsonl.Relay                // that Lines names
	writes bool                        // are told of in traces, for stages that write little
}

func newRelays(c config.Config, options relay.Options) relays {
	home := options
	home.AllowPrivate, home.Local, home.Token, home.Denied, home.Budget = true, true, c.RelayToken, nil, nil
	return relays{
		world: relay.NewPool(options), home: relay.NewPool(home),
		homeURL: c.Relay, public: c.PublicURLs, only: c.Only, options: options,
	}
}

func (r relays) close() {
	r.world.Close()
	r.home.Close()
}

// At returns the relay of a name: a URL, a multiaddr, or [Lines]. Here decorators
// are stacked on transports: a new transport is one more case, and passes relaytest.
func (r relays) At(ctx context.Context, name string) (at reconcile.Relay, err error) {
	switch {
	case name == Lines && r.lines != nil:
		at = r.lines
	case IsPeer(name) && r.options.Denied.Relay(name):
		err = fmt.Errorf("peer %s is %s", name, reconcile.Denied)
	case IsPeer(name) && r.libp2p != nil:
		at, err = r.libp2p.At(name)
	default:
		var pool *relay.Pool
		if pool, err = r.pool(ctx, name); err == nil {
			at = pool.At(name)
		}
	}
	if err != nil {
		return nil, err
	}
	at = traced(reconcile.Classified(at), name, r.writes)
	if r.known == nil || nostr.SameRelay(name, r.homeURL) {
		return at, nil
	}
	doc, _, err := r.known.Get(ctx, nostr.RelayKey(name))
	if err == nil && doc.Hornets != nil {
		at = r.libp2p.Via(at, doc)
	}
	return at, err
}

// pool returns the pool that may talk to a relay, and gives a proven one a budget
// of its own.
func (r relays) pool(ctx context.Context, url string) (*relay.Pool, error) {
	switch {
	case nostr.SameRelay(url, r.homeURL):
		return r.home, nil
	case r.options.Denied.Relay(url):
		return nil, fmt.Errorf("relay %s is %s", url, reconcile.Denied)
	case nostr.HasRelay(r.public, url):
		return nil, fmt.Errorf("relay %s is the one of --relay, by its public name", url)
	case len(r.only) > 0 && !nostr.HasRelay(r.only, url):
		return nil, fmt.Errorf("relay %s is not one of --only", url)
	}
	if r.proven.is(ctx, url) {
		r.options.Budget.Prove(url)
	}
	return r.world, nil
}

// Find asks for one event; see the port of the fetcher.
func (r relays) Find(ctx context.Context, url, id string) (*nostr.Event, error) {
	pool, err := r.pool(ctx, url)
	if err != nil {
		return nil, err
	}
	ctx, span := span(ctx, "relay find", atRelay(url), attribute.String(bus.AttrEvent, id))
	e, err := pool.Find(ctx, url, id)
	span.SetAttributes(attribute.Bool("relay.found", e != nil))
	bus.End(span, err)
	return e, err
}

// probe fetches a relay's NIP-11 document.
func (r relays) probe(ctx context.Context, url string) (contract.Relay, error) {
	pool, err := r.pool(ctx, url)
	if err != nil {
		return contract.Relay{}, err
	}
	ctx, span := span(ctx, "relay probe", atRelay(url))
	info, err := pool.FetchInfo(ctx, url)
	bus.End(span, err)
	if err != nil {
		return contract.Relay{}, err
	}
	doc, err := describe(url, &info)
	if err != nil && !errors.Is(err, relay.ErrNoHornets) {
		r.options.Log.DebugContext(ctx, "passed over a HORNETS extension", "relay", url, "err", err)
	}
	return doc, nil
}

// describe is what the stages want to know of a NIP-11 document. The error is
// that of its HORNETS extension, and then there is none.
func describe(url string, info *relay.Info) (contract.Relay, error) {
	doc := contract.Relay{URL: url, Name: reconcile.Clip(info.Name), Software: reconcile.Clip(info.Software), NIPs: info.SupportedNIPs}
	doc.AuthRequired = info.Limitation.AuthRequired
	h, err := info.Hornets()
	if err != nil {
		return doc, fmt.Errorf("NIP-11: %w", err)
	}
	doc.Hornets = &contract.Hornets{PubKey: h.PubKey, PeerID: h.PeerID, Addrs: h.Addrs}
	return doc, nil
}

// follow tails a relay; see the port of ingest.Tail.
func (r relays) follow(url string) func(context.Context, int64, func(context.Context, nostr.Event) error,
	func(context.Context, int64) error) error {
	pool, denied := r.world, r.options.Denied
	if nostr.SameRelay(url, r.homeURL) {
		pool, denied = r.home, nil
	}
	return func(ctx context.Context, since int64,
		handle func(context.Context, nostr.Event) error, caughtUp func(context.Context, int64) error,
	) error {
		ctx, leave := stage.UntilDenied(ctx, denied, url)
		defer leave()
		if denied.Relay(url) {
			return stage.ErrDenied
		}
		takes := pool.At(url).Limits(ctx)
		return pool.Tail(ctx, url, relay.Follow{Since: since, Takes: takes, Handle: handle, CaughtUp: caughtUp})
	}
}
