package run

import (
	"io"
	"log/slog"
	"strings"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
)

// libp2p is large, and only processes that sync need it: they hand it in, so
// that the others do not link it. internal/run/peers is what they hand in.

// Option changes an Env before its stages run.
type Option func(*Env)

// AttachLibp2p has a syncing stage reach relays by libp2p where they speak no
// NIP-77, and answers peers that sync with the local relay. Closing the node
// ends it.
type AttachLibp2p func(e *Env, s *syncing.Stage) (node io.Closer, err error)

// WithLibp2p has SyncWorker speak libp2p.
func WithLibp2p(attach AttachLibp2p) Option { return func(e *Env) { e.libp2p = attach } }

// DialPeer makes a side of a sync of a libp2p peer's multiaddr. shut frees it.
type DialPeer func(addr string, log *slog.Logger) (side reconcile.Side, shut func(), err error)

// IsPeer reports whether the name of a side is a multiaddr.
func IsPeer(name string) bool { return strings.HasPrefix(name, "/") }

// Home returns the relay that we stand beside, over connections of their own:
// whoever is answered from it does not disturb the stages.
func (e *Env) Home() (net syncing.Relays, shut func()) {
	own := newRelays(e.Config, e.relays.options)
	return newSides(own), own.close
}

// Allowed reports whether the operator lets us talk to a relay.
func (e *Env) Allowed(url string) bool {
	_, err := e.relays.pool(url)
	return err == nil
}
