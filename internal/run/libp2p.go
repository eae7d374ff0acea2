package run

import (
	"log/slog"
	"strings"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// Libp2p reaches relays by libp2p, which is large: only processes that sync need
// it. They hand in [StartLibp2p], so that the others do not link it;
// internal/run/peers is what they hand in.
type Libp2p interface {
	// At returns the relay at a multiaddr, which ends with /p2p/ and its id.
	At(addr string) (reconcile.Relay, error)
	// Via is a relay that is asked by libp2p, where its NIP-11 document says that
	// it is, instead of by pages over its websocket.
	Via(websocket reconcile.Relay, doc contract.Relay) reconcile.Relay
	// Serve has peers sync with a relay, at HOST:PORT. respond makes what answers
	// one of them; shut frees what that holds.
	Serve(at string, respond func(peer string) (r *reconcile.Responder, shut func(), err error)) error
	Close() error
}

// StartLibp2p makes a node that listens nowhere yet. What it dials is within the
// budget; nil bounds nothing.
type StartLibp2p func(c config.P2P, allowPrivate bool, budget *hosts.Budget, log *slog.Logger) (Libp2p, error)

// Option changes an Env before its stages run.
type Option func(*Env)

// WithLibp2p has SyncWorker speak libp2p.
func WithLibp2p(start StartLibp2p) Option { return func(e *Env) { e.libp2p = start } }

// IsPeer reports whether the name of a relay is a multiaddr.
func IsPeer(name string) bool { return strings.HasPrefix(name, "/") }
