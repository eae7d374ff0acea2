package peers

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/p2p"
	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// idleTime is after which a peer is hung up on.
	idleTime = 5 * time.Minute
	// lookUpTime bounds the look-up of a relay's host.
	lookUpTime = 5 * time.Second
)

// via is a relay that says where it is on libp2p. NIP-77 comes first, where it is
// claimed; who is reached by neither is listed over its websocket.
type via struct {
	*node

	websocket reconcile.Relay
	doc       contract.Relay
}

// Via decorates a relay.
func (n *node) Via(websocket reconcile.Relay, doc contract.Relay) reconcile.Relay {
	return reconcile.Through(via{n, websocket, doc}.ask)
}

func (v via) ask(ctx context.Context, q *reconcile.Request, ask reconcile.Ask) error {
	switch q.Op {
	case reconcile.OpOpen:
		return v.open(ctx, q, ask)
	case reconcile.OpLimits: // it may be compared by libp2p, with small messages
		err := ask(ctx, v.websocket)
		q.Limits.Accepts, q.Limits.Answers = p2p.FrameLimit, p2p.FrameLimit
		return err
	case reconcile.OpQuery, reconcile.OpPublish:
		if slices.ContainsFunc(q.Filters, func(f nostr.Filter) bool { return len(f.IDs) == 0 }) {
			break // peers do not list
		}
		if e := v.acquire(v.doc, false); e != nil {
			defer v.release(e, false)
			return ask(ctx, e.relay)
		}
	case reconcile.OpSubscribe:
	}
	return ask(ctx, v.websocket)
}

// open opens a session, and settles what the next requests go over.
func (v via) open(ctx context.Context, q *reconcile.Request, ask reconcile.Ask) error {
	talking := v.acquire(v.doc, false)
	if talking != nil {
		defer v.release(talking, false)
	}
	var refused error
	if slices.Contains(v.doc.NIPs, 77) && talking == nil {
		if refused = ask(ctx, v.websocket); !errors.Is(refused, reconcile.ErrNoNegentropy) {
			return refused
		}
	}
	err := v.openByPeer(ctx, q, ask)
	switch {
	case !errors.Is(err, errNoPeer):
		return err
	case refused != nil:
		return refused
	}
	return ask(ctx, v.websocket)
}

// errNoPeer says that a relay cannot be reached by libp2p, or does not serve us
// there.
var errNoPeer = errors.New("not reached by libp2p")

func (v via) openByPeer(ctx context.Context, q *reconcile.Request, ask reconcile.Ask) error {
	e := v.acquire(v.doc, true)
	if e == nil {
		return errNoPeer
	}
	err := ask(ctx, e.relay)
	if err == nil {
		v.mu.Lock()
		e.health = health.State{}
		v.mu.Unlock()
		q.Session = heldSession{q.Session, sync.OnceFunc(func() { v.release(e, false) })}
		return nil
	}
	busy := errors.Is(err, hosts.ErrBusy) // of which the peer knows nothing
	failed := ctx.Err() == nil && !busy && (errors.Is(err, reconcile.ErrInterrupted) || errors.Is(err, reconcile.ErrNoNegentropy))
	v.release(e, failed)
	if failed || busy {
		v.log.DebugContext(ctx, "not reached by libp2p", "relay", v.doc.URL, "err", err)
		return errNoPeer
	}
	return err
}

// heldSession is a session by libp2p whose entry is in use until it is closed.
type heldSession struct {
	reconcile.Session

	release func()
}

// Close ends the session, and the use of its entry.
func (s heldSession) Close() {
	s.Session.Close()
	s.release()
}

// entry is a relay that is talked to by libp2p, or could not be.
type entry struct {
	peer   *p2p.Peer
	relay  reconcile.Relay // the peer
	health health.State
	using  int
	last   time.Time // when it was used, or failed
}

// locate makes the entry of a relay that has none, with the addresses of its own
// host.
func (n *node) locate(doc contract.Relay) {
	n.mu.Lock()
	n.sweep()
	known := n.peers[doc.URL] != nil
	n.mu.Unlock()
	if known {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookUpTime)
	defer cancel()
	at, err := p2p.Locate(ctx, doc.URL, doc.Hornets.PubKey, doc.Hornets.PeerID, doc.Hornets.Addrs)
	if err != nil {
		n.log.DebugContext(ctx, "passed over a HORNETS extension", "relay", doc.URL, "err", err)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.peers[doc.URL] == nil { // nobody else was faster
		peer := n.host.Peer(at)
		n.peers[doc.URL] = &entry{peer: peer, relay: reconcile.Classified(peer)}
	}
}

// acquire returns the entry of a relay, which must be released; nil if it was not
// located or not reached a while ago, or, unless it is to be met, is not talked to:
// it was not met, or not reached the last time.
func (n *node) acquire(doc contract.Relay, meet bool) *entry {
	if meet {
		n.locate(doc)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.peers[doc.URL]
	if e == nil || e.health.LeftAlone(time.Now()) || !meet && e.health.Failures > 0 {
		return nil
	}
	e.using++
	return e
}

// release ends the use of an entry.
func (n *node) release(e *entry, failed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e.using--
	e.last = time.Now()
	if failed {
		e.health = health.Libp2p.Next(e.health, health.Failed, e.last, rand.Float64())
	}
}

// sweep drops what was not used for long; mu is held.
func (n *node) sweep() {
	for url, e := range n.peers {
		if e.using == 0 && !e.last.IsZero() && time.Since(e.last) > idleTime && !e.health.LeftAlone(time.Now()) {
			delete(n.peers, url)
			e.peer.Close()
		}
	}
}
