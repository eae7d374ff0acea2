package peers

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/p2p"
	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// idleTime is after which a peer is hung up on.
const idleTime = 5 * time.Minute

// relays are the relays of the world, of which those that speak no NIP-77, but
// say where they are on libp2p, are compared there. NIP-77 comes first, where
// it is claimed; who is reached by neither is listed over its websocket.
type relays struct {
	syncing.Relays // by websocket

	host    *p2p.Host
	known   stage.Store[contract.Relay]
	allowed func(url string) bool
	log     *slog.Logger

	mu    sync.Mutex
	peers map[string]*entry // by URL
}

// entry is a relay that is talked to by libp2p, or could not be.
type entry struct {
	side   side
	health health.State
	using  int
	last   time.Time // when it was used, or failed
}

// Negentropy opens a session with a relay.
func (r *relays) Negentropy(ctx context.Context, url string, filter nostr.Filter, first []byte) (syncing.Session, []byte, error) {
	doc, found, err := r.known.Get(ctx, nostr.RelayKey(url))
	if err != nil {
		return nil, nil, err
	}
	if !found || doc.Hornets == nil || !r.allowed(url) {
		return r.Relays.Negentropy(ctx, url, filter, first)
	}
	if slices.Contains(doc.NIPs, 77) && !r.talking(url) {
		session, answer, err := r.Relays.Negentropy(ctx, url, filter, first)
		if !errors.Is(err, reconcile.ErrNoNegentropy) {
			return session, answer, err
		}
		session, byPeer, peerErr := r.open(ctx, doc, filter, first)
		if errors.Is(peerErr, errNoPeer) {
			return nil, nil, err
		}
		return session, byPeer, peerErr
	}
	session, answer, err := r.open(ctx, doc, filter, first)
	if errors.Is(err, errNoPeer) {
		return r.Relays.Negentropy(ctx, url, filter, first)
	}
	return session, answer, err
}

// errNoPeer says that a relay cannot be reached by libp2p, or does not serve us
// there.
var errNoPeer = errors.New("not reached by libp2p")

// open opens a session by libp2p.
func (r *relays) open(ctx context.Context, doc contract.Relay, filter nostr.Filter, first []byte) (syncing.Session, []byte, error) {
	e := r.meet(doc)
	if e == nil {
		return nil, nil, errNoPeer
	}
	session, answer, err := e.side.Open(ctx, filter, first)
	if err == nil {
		return heldSession{session, sync.OnceFunc(func() { r.release(e, false) })}, answer, nil
	}
	refused := (*p2p.RefusedError)(nil)
	failed := ctx.Err() == nil && !errors.Is(err, reconcile.ErrTooLarge) && (errors.Is(err, reconcile.ErrInterrupted) || errors.As(err, &refused))
	r.release(e, failed)
	if failed {
		r.log.DebugContext(ctx, "not reached by libp2p", "relay", doc.URL, "err", err)
		return nil, nil, errNoPeer
	}
	return nil, nil, err
}

// heldSession is a session by libp2p whose entry is in use until it is closed.
type heldSession struct {
	syncing.Session
	release func()
}

// Close ends the session, and the use of its entry.
func (s heldSession) Close() {
	s.Session.Close()
	s.release()
}

// meet returns the entry of a relay, or nil if it was not reached a while ago.
func (r *relays) meet(doc contract.Relay) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep()
	e := r.peers[doc.URL]
	if e == nil {
		at, err := p2p.AddressOf(doc.Hornets.PubKey, doc.Hornets.PeerID, doc.Hornets.Addrs)
		if err != nil {
			r.log.Debug("passed over a HORNETS extension", "relay", doc.URL, "err", err)
			return nil
		}
		e = &entry{side: side{r.host.Peer(at)}}
		r.peers[doc.URL] = e
	}
	if e.health.LeftAlone(time.Now()) {
		return nil
	}
	e.using++
	return e
}

// talking reports whether a relay is talked to by libp2p.
func (r *relays) talking(url string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.peers[url]
	return e != nil && !e.health.LeftAlone(time.Now())
}

// use returns the entry of a relay that is being talked to, or nil; it must be
// released.
func (r *relays) use(url string) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.peers[url]
	if e == nil || e.health.LeftAlone(time.Now()) {
		return nil
	}
	e.using++
	return e
}

// release ends the use of an entry.
func (r *relays) release(e *entry, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.using--
	e.last = time.Now()
	if failed {
		e.health = health.Libp2p.Next(e.health, health.Failed, e.last, rand.Float64())
	}
}

// sweep drops what was not used for long; mu is held.
func (r *relays) sweep() {
	for url, e := range r.peers {
		if e.using == 0 && !e.last.IsZero() && time.Since(e.last) > idleTime && !e.health.LeftAlone(time.Now()) {
			delete(r.peers, url)
			e.side.Close()
		}
	}
}

// Query yields stored events of a relay, by libp2p where that is used and the
// ids are known.
func (r *relays) Query(ctx context.Context, url string, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		all := r.Relays.Query(ctx, url, filter)
		if len(filter.IDs) > 0 {
			if e := r.use(url); e != nil {
				defer r.release(e, false)
				all = e.side.Query(ctx, filter)
			}
		}
		for e, err := range all {
			if !yield(e, err) {
				return
			}
		}
	}
}

// Publish writes an event to a relay.
func (r *relays) Publish(ctx context.Context, url string, ev nostr.Event) (refused string, err error) {
	if e := r.use(url); e != nil {
		defer r.release(e, false)
		return e.side.Publish(ctx, ev)
	}
	return r.Relays.Publish(ctx, url, ev)
}
