package peers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/p2p"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
)

// node is what reaches relays by libp2p.
type node struct {
	host *p2p.Host
	log  *slog.Logger

	mu    sync.Mutex
	peers map[string]*entry // by URL, of those that are asked in place of a websocket
}

// Start is the [run.StartLibp2p] of processes that sync.
func Start(c config.P2P, allowPrivate bool, budget *hosts.Budget, log *slog.Logger) (run.Libp2p, error) {
	key, err := readKey(c, log)
	if err != nil {
		return nil, err
	}
	host, err := p2p.Start(p2p.Options{Key: key, AllowPrivate: allowPrivate, Budget: budget, Log: log})
	if err != nil {
		return nil, err
	}
	return &node{host: host, log: log, peers: map[string]*entry{}}, nil
}

// At returns the relay at a multiaddr.
func (n *node) At(addr string) (reconcile.Relay, error) {
	at, err := p2p.ParseAddress(addr)
	if err != nil {
		return nil, err
	}
	return n.host.Peer(at), nil
}

// Serve has peers sync with a relay.
func (n *node) Serve(at string, respond func(peer string) (*reconcile.Responder, func(), error)) error {
	err := n.host.Serve(at, func(_ context.Context, from string) (p2p.Responder, error) {
		r, shut, err := respond(from)
		if err != nil {
			return nil, err
		}
		return incoming{r, from, shut, n.log}, nil
	})
	if err == nil {
		n.log.Info("libp2p peers may sync with us", "addrs", n.host.Addrs())
	}
	return err
}

// Close ends all that goes on.
func (n *node) Close() error { return n.host.Close() }

// incoming answers one session of a peer.
type incoming struct {
	*reconcile.Responder

	from string
	shut func()
	log  *slog.Logger
}

// Answer answers a message; that the set is too large is told the peer.
func (i incoming) Answer(ctx context.Context, msg []byte) ([]byte, error) {
	answer, err := i.Responder.Answer(ctx, msg)
	if errors.Is(err, reconcile.ErrTooLarge) {
		return nil, &p2p.ToldError{Words: "blocked: too many events; ask for less time at once", Err: err}
	}
	return answer, err
}

// Close ends the session, and says what it came to.
func (i incoming) Close() {
	i.Responder.Close()
	i.shut()
	if f := i.Figures(); f.ToA+f.Refused+f.HeldBack > 0 {
		i.log.Info("a libp2p peer wrote to the relay", "peer", i.from, "stored", f.ToA, "refused", f.Refused, "held_back", f.HeldBack)
	}
}

// readKey returns the secret key of our identity; "" is none. Peers know by it who
// answers them: where we do, it is made if the file is missing. A file that a crash
// of the machine has left empty is as good as missing.
func readKey(c config.P2P, log *slog.Logger) (string, error) {
	switch {
	case c.KeyFile == "" && c.Listen != "":
		return "", errors.New("--p2p-key-file: missing; peers know us by that key, so it must outlive the process")
	case c.KeyFile == "":
		return "", nil
	}
	key, err := schnorr.ReadSecretFile(c.KeyFile)
	switch missing := errors.Is(err, schnorr.ErrNoSecret); {
	case missing && c.Listen == "":
		return "", nil
	case missing:
		key, err = schnorr.OpenSecretFile(c.KeyFile, log)
	}
	if err != nil {
		return "", fmt.Errorf("--p2p-key-file: %w", err)
	}
	return key.Hex(), nil
}
