package p2p

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"

	"github.com/relaymesh/relaymesh/internal/edge/dialguard"
	"github.com/relaymesh/relaymesh/internal/edge/p2p/node"
	"github.com/relaymesh/relaymesh/internal/edge/slots"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// Protocol is the name of the protocol on libp2p.
const Protocol protocol.ID = "/negentropy/1.0.0"

// Options of a host.
type Options struct {
	// Key is the secp256k1 secret key of our identity, 64 hex digits, as a
	// Nostr key is; empty makes one that lasts as long as the host.
	Key string
	// AllowPrivate permits to dial loopback and private addresses.
	AllowPrivate bool
	// Budget bounds what is dialled, by host and network; nil bounds nothing.
	Budget *hosts.Budget
	// Log takes why peers were dropped; nil discards it.
	Log *slog.Logger

	timing timing
}

// Host is a libp2p node that speaks [Protocol] and nothing else. All methods
// may be called at once.
type Host struct {
	opts    Options
	node    *node.Node
	serving *limiter
	// opening are the streams that are no session yet, or are being refused.
	opening *slots.Shared
	// responder makes what answers an incoming session; see Serve.
	responder func(ctx context.Context, from string) (Responder, error)

	ctx     context.Context //nolint:containedctx // ends with the host
	cancel  context.CancelFunc
	running slots.Serving
}

// Start makes a node. [Host.Close] ends it.
func Start(o Options) (*Host, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.timing == (timing{}) {
		o.timing = defaultTiming
	}
	key, err := identity(o.Key)
	if err != nil {
		return nil, err
	}
	h := &Host{opts: o, serving: newLimiter(), opening: slots.New(maxOpening, maxOpeningAddr)}
	if h.node, err = node.New(key, gater{dialguard.Guard{AllowPrivate: o.AllowPrivate}, h.serving}); err != nil {
		return nil, fmt.Errorf("libp2p: %w", err)
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.node.OnFlood(h.flooded)
	h.node.OnDial(h.dialling)
	return h, nil
}

// dialling takes from the budget what a connection to an address costs.
func (h *Host) dialling(to ma.Multiaddr) (leave func(), err error) {
	at, ok := addrPort(to)
	if !ok {
		return nil, fmt.Errorf("%s: no address", to)
	}
	lease, err := h.opts.Budget.Knock(h.ctx, at.Addr())
	if err != nil {
		return nil, err
	}
	return lease.Release, nil
}

// flooded ends the connections of a peer that opens streams without end.
func (h *Host) flooded(id peer.ID) {
	for _, c := range h.node.ConnsToPeer(id) {
		h.opts.Log.Info("dropped a peer", "peer", id, "err", "it opens streams without end")
		h.serving.offend(node.Network(c.RemoteMultiaddr()), id.String(), time.Now())
		_ = c.Close() // it is closed in any case
	}
}

// Serve has peers connect at HOST:PORT, with an address literal, by QUIC and by
// TCP, and begin sessions, each of which a responder of its own answers; the
// context ends with the session. It is called before the host is used otherwise.
func (h *Host) Serve(at string, responder func(ctx context.Context, from string) (Responder, error)) error {
	listen, err := listenAddrs(at)
	if err != nil {
		return err
	}
	h.responder = responder
	h.node.SetStreamHandler(h.accept)
	for _, addr := range listen { // of several the node is content with one
		if err := h.node.Listen(addr); err != nil {
			return fmt.Errorf("libp2p: listen on %s: %w", addr, err)
		}
	}
	return nil
}

// identity reads a secret key, or makes one.
func identity(secret string) (crypto.PrivKey, error) {
	if secret == "" {
		key, _, err := crypto.GenerateSecp256k1Key(rand.Reader)
		return key, err
	}
	raw, err := hex.DecodeString(secret)
	if err != nil {
		return nil, errors.New("libp2p key: want 64 hex digits")
	}
	return crypto.UnmarshalSecp256k1PrivateKey(raw)
}

// listenAddrs are the two addresses of one HOST:PORT.
func listenAddrs(hostPort string) ([]ma.Multiaddr, error) {
	at, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("libp2p: listen on %q: want an address and a port, as in 0.0.0.0:9001 or [::]:9001", hostPort)
	}
	family := "ip4"
	if at.Addr().Is6() {
		family = "ip6"
	}
	quic, err := ma.NewMultiaddr(fmt.Sprintf("/%s/%s/udp/%d/quic-v1", family, at.Addr(), at.Port()))
	if err != nil {
		return nil, err
	}
	tcp, err := ma.NewMultiaddr(fmt.Sprintf("/%s/%s/tcp/%d", family, at.Addr(), at.Port()))
	return []ma.Multiaddr{quic, tcp}, err
}

// ID returns our peer id in base58.
func (h *Host) ID() string { return h.node.LocalPeer().String() }

// Addrs returns the multiaddrs where we listen, with our id, as
// [ParseAddress] takes them.
func (h *Host) Addrs() (out []string) {
	addrs, err := h.node.InterfaceListenAddresses()
	if err != nil {
		return nil
	}
	for _, addr := range addrs {
		out = append(out, fmt.Sprintf("%s/p2p/%s", addr, h.node.LocalPeer()))
	}
	return out
}

// open opens a stream to a peer.
func (h *Host) open(ctx context.Context, to Address) (*stream, error) {
	raw, err := h.OpenStream(ctx, to, Protocol)
	if err != nil {
		return nil, err
	}
	return newStream(raw, h.opts.timing), nil
}

// OpenStream opens a stream to a peer for another protocol, without any limits
// of time or size. The caller closes it.
func (h *Host) OpenStream(ctx context.Context, to Address, speak protocol.ID) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, h.opts.timing.dial)
	defer cancel()
	h.node.Backoff().Clear(to.info.ID) // who asks decides when to try again
	h.node.Peerstore().AddAddrs(to.info.ID, to.info.Addrs, peerstore.TempAddrTTL)
	raw, err := h.node.NewStream(network.WithDialPeerTimeout(ctx, h.opts.timing.dial), to.info.ID)
	if err != nil {
		return nil, reconcile.Interrupted(unconnected(to.info.Addrs, err))
	}
	err = h.negotiate(raw, speak, func() error { return multistream.SelectProtoOrFail(speak, raw) })
	return raw, err
}

// negotiate agrees on the protocol of a stream, or resets it.
func (h *Host) negotiate(raw network.Stream, speak protocol.ID, agree func() error) error {
	err := raw.SetDeadline(time.Now().Add(h.opts.timing.dial))
	if err == nil {
		err = agree()
	}
	if err == nil {
		err = raw.SetProtocol(speak)
	}
	if err == nil {
		err = raw.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = raw.Reset() // the error is what matters
		return unspoken(speak, err)
	}
	return nil
}

// accept takes an incoming stream.
func (h *Host) accept(raw network.Stream) {
	if !h.running.Go(func() { h.accepted(raw) }) {
		_ = raw.Reset() // we are closing
	}
}

// accepted serves an incoming stream.
func (h *Host) accepted(raw network.Stream) {
	opened, ok := h.opening.Take(node.Network(raw.Conn().RemoteMultiaddr()), func() { _ = raw.Reset() })
	if !ok {
		_ = raw.Reset() // it is over in any case
		return
	}
	defer opened()
	mux := multistream.NewMultistreamMuxer[protocol.ID]()
	mux.AddHandler(Protocol, nil)
	bounded := struct {
		io.Reader
		io.WriteCloser
	}{io.LimitReader(raw, maxNegotiation), raw}
	err := h.negotiate(raw, Protocol, func() error { _, _, err := mux.Negotiate(bounded); return err })
	if err != nil {
		h.opts.Log.Debug("refused a libp2p stream", "peer", raw.Conn().RemotePeer(), "err", err)
		return
	}
	h.serve(newStream(raw, h.opts.timing), opened)
}

// Bounds of streams that are no sessions yet: in all, of one address, and how many
// bytes a peer may send until it has named a protocol that we speak.
const (
	maxOpening     = 64
	maxOpeningAddr = 16
	maxNegotiation = 4 << 10
)

// hangUp closes the connections to a peer that we made and neither side makes
// use of. What a peer opens counts only where it is served: otherwise it could
// keep us from hanging up.
func (h *Host) hangUp(id peer.ID) {
	for _, c := range h.node.ConnsToPeer(id) {
		used := func(s network.Stream) bool { return h.responder != nil || s.Stat().Direction == network.DirOutbound }
		if c.Stat().Direction == network.DirOutbound && !slices.ContainsFunc(c.GetStreams(), used) {
			_ = c.Close() // it is closed in any case
		}
	}
}

// Close ends all sessions and frees everything.
func (h *Host) Close() error {
	h.cancel()
	err := h.node.Close()
	h.running.Close()
	return err
}
