package node

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/quic-go/quic-go"
	"golang.org/x/time/rate"

	"github.com/relaymesh/relaymesh/internal/edge/slots"
	"github.com/relaymesh/relaymesh/internal/recent"
)

// Slots of incoming connections, of each transport: those of TCP are not taken
// from those of QUIC, nor those before the handshake, of which nothing is known
// but an address, from those after it.
const (
	maxHandshakes     = 32
	maxHandshakesAddr = 4
	maxInbound        = 32 // after the handshake
	maxInboundAddr    = 8
	// handshakeTime bounds a handshake by TCP; QUIC has 5 s by itself.
	handshakeTime = 5 * time.Second
	// unverified is how many handshakes there are by QUIC before addresses are
	// verified by a packet there and back.
	unverified = maxHandshakes / 4
)

// Streams that one peer may open: so many at once, and a second. Those beyond the
// limit of streams at a time count, too, which cost it nothing to open.
const (
	streamBurst = 512
	streamRate  = 32
	maxFlooders = 4096 // peers whose streams are counted at least
)

// admission decides which connections and streams of strangers come in.
type admission struct {
	connmgr.ConnectionGater
	network.ResourceManager

	tcp, quic transportSlots
	arriving  sync.Map // io.Closer by remote address, between InterceptAccept and OpenConnection
	leaving   sync.Map // func() by network.Conn: gives its slot back

	streams recent.Map[peer.ID, *rate.Limiter]
	flooded atomic.Pointer[func(peer.ID)]

	dialling atomic.Pointer[func(ma.Multiaddr) (leave func(), err error)]
}

type transportSlots struct{ handshakes, inbound *slots.Shared }

func newTransportSlots() transportSlots {
	return transportSlots{slots.New(maxHandshakes, maxHandshakesAddr), slots.New(maxInbound, maxInboundAddr)}
}

func newAdmission(gate connmgr.ConnectionGater, limits network.ResourceManager) *admission {
	if gate == nil {
		gate = openGate{}
	}
	return &admission{
		ConnectionGater: gate, ResourceManager: limits, tcp: newTransportSlots(), quic: newTransportSlots(),
		streams: recent.Map[peer.ID, *rate.Limiter]{Size: maxFlooders},
	}
}

// openGate lets everything pass.
type openGate struct{}

func (openGate) InterceptPeerDial(peer.ID) bool               { return true }
func (openGate) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (openGate) InterceptAccept(network.ConnMultiaddrs) bool  { return true }
func (openGate) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

func (openGate) InterceptUpgraded(network.Conn) (allow bool, why control.DisconnectReason) {
	return true, 0
}

// of returns the slots of an address's transport.
func (a *admission) of(addr ma.Multiaddr) transportSlots {
	if _, err := addr.ValueForProtocol(ma.P_QUIC_V1); err == nil {
		return a.quic
	}
	return a.tcp
}

// Network is the part of an address that one stranger has: an IPv4 address, or
// 56 bits of IPv6.
func Network(addr ma.Multiaddr) string {
	ip, err := manet.ToIP(addr)
	if err != nil {
		return addr.String()
	}
	at, _ := netip.AddrFromSlice(ip)
	if at = at.Unmap(); at.Is4() {
		return at.String()
	}
	return netip.PrefixFrom(at, 56).Masked().String()
}

// InterceptAccept is asked about a connection before its handshake by TCP, and
// after it by QUIC.
func (a *admission) InterceptAccept(c network.ConnMultiaddrs) bool {
	if !a.ConnectionGater.InterceptAccept(c) {
		return false
	}
	if socket, ok := c.(io.Closer); ok && a.of(c.RemoteMultiaddr()) == a.tcp {
		a.arriving.Store(c.RemoteMultiaddr().String(), socket)
	}
	return true
}

// OpenConnection takes a slot of an incoming connection's handshake.
func (a *admission) OpenConnection(dir network.Direction, usefd bool, from ma.Multiaddr) (network.ConnManagementScope, error) {
	if dir != network.DirInbound {
		return a.openOutbound(usefd, from)
	}
	var evict func()
	if socket, ok := a.arriving.LoadAndDelete(from.String()); ok {
		evict = func() { _ = socket.(io.Closer).Close() } // the handshake fails by it
	}
	leave, ok := a.of(from).handshakes.Take(Network(from), evict)
	if !ok {
		return nil, network.ErrResourceLimitExceeded
	}
	scope, err := a.ResourceManager.OpenConnection(dir, usefd, from)
	if err != nil {
		leave()
		return nil, err
	}
	return &handshake{scope, leave}, nil
}

// openOutbound asks whether an address may be dialled.
func (a *admission) openOutbound(usefd bool, to ma.Multiaddr) (network.ConnManagementScope, error) {
	leave := func() {}
	if ask := a.dialling.Load(); ask != nil {
		var err error
		if leave, err = (*ask)(to); err != nil {
			return nil, err
		}
	}
	scope, err := a.ResourceManager.OpenConnection(network.DirOutbound, usefd, to)
	if err != nil {
		leave()
		return nil, err
	}
	return &outbound{scope, leave}, nil
}

// outbound is the scope of a connection that we make.
type outbound struct {
	network.ConnManagementScope

	leave func()
}

// Done is called when it has ended; perhaps more than once.
func (o *outbound) Done() {
	o.leave()
	o.ConnManagementScope.Done()
}

// handshake is the scope of a connection that has a slot until its peer is known.
type handshake struct {
	network.ConnManagementScope

	leave func()
}

// SetPeer ends the handshake.
func (h *handshake) SetPeer(id peer.ID) error {
	h.leave()
	return h.ConnManagementScope.SetPeer(id)
}

// Done ends it without a peer.
func (h *handshake) Done() {
	h.leave()
	h.ConnManagementScope.Done()
}

// InterceptUpgraded takes a slot of an incoming connection whose peer is known.
func (a *admission) InterceptUpgraded(c network.Conn) (allow bool, reason control.DisconnectReason) {
	if c.Stat().Direction == network.DirInbound {
		from := c.RemoteMultiaddr()
		leave, ok := a.of(from).inbound.Take(Network(from), func() { go c.Close() })
		if !ok {
			return false, 0
		}
		a.leaving.Store(c, leave)
	}
	return a.ConnectionGater.InterceptUpgraded(c)
}

// disconnected gives the slot of a connection back.
func (a *admission) disconnected(_ network.Network, c network.Conn) {
	if leave, ok := a.leaving.LoadAndDelete(c); ok {
		leave.(func())()
	}
}

// OpenStream counts the streams that a peer opens.
func (a *admission) OpenStream(id peer.ID, dir network.Direction) (network.StreamManagementScope, error) {
	if dir == network.DirInbound {
		opened, _ := a.streams.LoadOrStore(id, rate.NewLimiter(streamRate, streamBurst))
		if !opened.Allow() {
			if tell := a.flooded.Load(); tell != nil {
				go (*tell)(id)
			}
			return nil, network.ErrResourceLimitExceeded
		}
	}
	return a.ResourceManager.OpenStream(id, dir)
}

// quicOptions has handshakes by QUIC take their slots before they begin.
func (a *admission) quicOptions() []quicreuse.Option {
	return []quicreuse.Option{
		quicreuse.VerifySourceAddress(func(from net.Addr) bool {
			return a.quic.handshakes.Taken() >= unverified || a.VerifySourceAddress(from)
		}),
		quicreuse.ConnContext(func(ctx context.Context, client *quic.ClientInfo) (context.Context, error) {
			from, err := quicreuse.ToQuicMultiaddr(client.RemoteAddr, quic.Version1)
			if err != nil {
				return ctx, err
			}
			scope, err := a.OpenConnection(network.DirInbound, false, from)
			if err != nil {
				return ctx, err
			}
			context.AfterFunc(ctx, scope.Done) // the connection ended, perhaps before its handshake
			return network.WithConnManagementScope(ctx, scope), nil
		}),
	}
}
