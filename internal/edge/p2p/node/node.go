// Package node makes libp2p nodes that speak QUIC v1, and TCP with TLS or Noise
// and yamux, within tight limits. Nothing runs over them yet.
package node

import (
	"crypto/rand"
	"errors"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/host/pstoremanager"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
)

// Node is a swarm and what it stands on.
type Node struct {
	*swarm.Swarm
	below []func() error // closes what the swarm stands on, the top last
	once  sync.Once

	admission *admission
}

// New puts a node together from its parts. The constructor of go-libp2p itself
// links WebRTC, relays and a dependency injector, whatever is used of it: twice
// the packages. The gater is asked before anything is dialled, and before
// anything is accepted.
func New(key crypto.PrivKey, gate connmgr.ConnectionGater) (_ *Node, err error) {
	n := &Node{}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, err
	}
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, err
	}
	n.below = append(n.below, store.Close)
	if err := store.AddPrivKey(id, key); err != nil {
		return nil, err
	}
	limits, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(bounds()), rcmgr.WithMetricsDisabled())
	if err != nil {
		return nil, err
	}
	n.below = append(n.below, limits.Close)
	n.admission = newAdmission(gate, limits)
	bus := eventbus.NewBus()
	n.Swarm, err = swarm.NewSwarm(id, store, bus, swarm.WithConnectionGater(n.admission), swarm.WithResourceManager(n.admission))
	if err != nil {
		return nil, err
	}
	n.Notify(&network.NotifyBundle{DisconnectedF: n.admission.disconnected})
	// Without it, the keys of all peers that ever came would be kept.
	forgetting, err := pstoremanager.NewPeerstoreManager(store, bus, n.Swarm)
	if err != nil {
		return nil, err
	}
	forgetting.Start()
	n.below = append(n.below, forgetting.Close)
	return n, n.transports(key)
}

// OnFlood has a function called, in a goroutine of its own, with each peer that
// opens streams faster than it may; those are refused already.
func (n *Node) OnFlood(do func(peer.ID)) { n.admission.flooded.Store(&do) }

// OnDial has a function asked before each address is dialled. It waits for no
// longer than a few seconds; leave is called when the connection has ended, or did
// not come.
func (n *Node) OnDial(ask func(ma.Multiaddr) (leave func(), err error)) {
	n.admission.dialling.Store(&ask)
}

// Close ends all connections and frees everything. It may be called again.
func (n *Node) Close() (err error) {
	n.once.Do(func() {
		if n.Swarm != nil {
			err = n.Swarm.Close()
		}
		for _, shut := range slices.Backward(n.below) {
			err = errors.Join(err, shut())
		}
	})
	return err
}

// transports adds TCP and QUIC to the swarm.
func (n *Node) transports(key crypto.PrivKey) error {
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}
	byTLS, err := tls.New(tls.ID, key, muxers)
	if err != nil {
		return err
	}
	byNoise, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		return err
	}
	secure := []sec.SecureTransport{byTLS, byNoise}
	up, err := upgrader.New(secure, muxers, nil, n.admission, n.admission, upgrader.WithAcceptTimeout(handshakeTime))
	if err != nil {
		return err
	}
	overTCP, err := tcp.NewTCPTransport(up, n.admission, nil, tcp.DisableReuseport())
	if err != nil {
		return err
	}
	if err := n.AddTransport(overTCP); err != nil {
		return err
	}
	var secrets [2][32]byte // of stateless resets and address tokens; they may change with each start
	for i := range secrets {
		if _, err := rand.Read(secrets[i][:]); err != nil {
			return err
		}
	}
	conns, err := quicreuse.NewConnManager(secrets[0], secrets[1], n.admission.quicOptions()...)
	if err != nil {
		return err
	}
	n.below = append(n.below, conns.Close)
	overQUIC, err := libp2pquic.NewTransport(key, conns, nil, n.admission, n.admission)
	if err != nil {
		return err
	}
	return n.AddTransport(overQUIC)
}

// maxConnsIn is a slot for every handshake and every connection.
const maxConnsIn = 2 * (maxHandshakes + maxInbound)

// bounds are what all peers together, and each of them, may take; incoming
// connections have their slots besides, which are fewer.
func bounds() rcmgr.ConcreteLimitConfig {
	all := rcmgr.ResourceLimits{
		Conns: 64 + maxConnsIn, ConnsInbound: maxConnsIn, ConnsOutbound: 64, FD: 64 + maxConnsIn/2,
		Streams: 512, StreamsInbound: 256, StreamsOutbound: 256, Memory: 256 << 20,
	}
	one := rcmgr.ResourceLimits{
		Conns: 4, ConnsInbound: 4, ConnsOutbound: 4, FD: 4,
		Streams: 16, StreamsInbound: 8, StreamsOutbound: 8, Memory: 64 << 20,
	}
	return rcmgr.PartialLimitConfig{
		System: all, Transient: all, ProtocolDefault: all, ServiceDefault: all, PeerDefault: one,
	}.Build(rcmgr.DefaultLimits.Scale(256<<20, 256))
}
