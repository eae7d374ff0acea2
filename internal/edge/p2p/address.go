package p2p

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/relaymesh/relaymesh/internal/edge/dialguard"
	"github.com/relaymesh/relaymesh/internal/edge/p2p/node"
)

// maxAddrs is how many of a peer's addresses are tried.
const maxAddrs = 8

// Address is where a peer is, and who: whoever else answers there is refused by
// the handshake.
type Address struct{ info peer.AddrInfo }

// ParseAddress reads a multiaddr that ends with the peer's id, for instance
// /ip4/192.0.2.1/udp/9001/quic-v1/p2p/16Uiu2HAm...
func ParseAddress(text string) (Address, error) {
	info, err := peer.AddrInfoFromString(text)
	if err != nil {
		return Address{}, fmt.Errorf("libp2p address %.100q: %w", text, err)
	}
	if info.Addrs = usable(info.Addrs); len(info.Addrs) == 0 {
		return Address{}, fmt.Errorf("libp2p address %.100q: want /ip4, /ip6 or /dns with /tcp or /udp/PORT/quic-v1, and then /p2p/ID", text)
	}
	return Address{*info}, nil
}

// Locate is [AddressOf] of a relay that is at a URL, less all addresses that are
// not of the URL's host, which is looked up: otherwise a document could have us
// dial anybody. An address by name must be by the name of the URL; what it leads to
// is settled here. The context bounds the look-up.
func Locate(ctx context.Context, relay, pubkey, id string, addrs []string) (Address, error) {
	at, err := url.Parse(relay)
	if err != nil {
		return Address{}, fmt.Errorf("relay %.100q: %w", relay, err)
	}
	var ips []netip.Addr
	if ip, err := netip.ParseAddr(at.Hostname()); err == nil {
		ips = []netip.Addr{ip}
	} else if ips, err = net.DefaultResolver.LookupNetIP(ctx, "ip", at.Hostname()); err != nil {
		return Address{}, fmt.Errorf("libp2p_addrs: whose they are: %w", err)
	}
	return addressOf(pubkey, id, addrs, func(addr ma.Multiaddr) []ma.Multiaddr { return ofHost(addr, at.Hostname(), ips) })
}

// ofHost returns an address if it is of a host with that name and those addresses:
// by number as it stands, and by name once for each number.
func ofHost(addr ma.Multiaddr, name string, ips []netip.Addr) (out []ma.Multiaddr) {
	if len(addr) == 0 {
		return nil
	}
	first, isName := addr[0], isHost(addr[0].Protocol().Code) && !isAddress(addr[0].Protocol().Code)
	for _, ip := range ips {
		ip = ip.Unmap().WithZone("")
		own, _ := netip.AddrFromSlice(first.RawValue())
		switch code := first.Protocol().Code; {
		case isAddress(code) && own.Unmap() == ip:
			return []ma.Multiaddr{addr}
		case !isName || !strings.EqualFold(strings.TrimSuffix(first.Value(), "."), strings.TrimSuffix(name, ".")):
		case code == ma.P_DNS4 && !ip.Is4(), code == ma.P_DNS6 && ip.Is4():
		default:
			if host, err := manet.FromIP(ip.AsSlice()); err == nil {
				out = append(out, host.Encapsulate(addr[1:]))
			}
		}
	}
	return out
}

// AddressOf reads where a relay says it is: its peer id, its addresses, of
// which those of other transports are passed over, and the Nostr key (x-only,
// 64 hex digits) that has signed both. The peer must be that key; of the two
// points that an x-only key stands for, either.
func AddressOf(pubkey, id string, addrs []string) (Address, error) {
	return addressOf(pubkey, id, addrs, func(addr ma.Multiaddr) []ma.Multiaddr { return []ma.Multiaddr{addr} })
}

// addressOf is AddressOf with the addresses that of makes of each.
func addressOf(pubkey, id string, addrs []string, of func(ma.Multiaddr) []ma.Multiaddr) (Address, error) {
	who, err := peer.Decode(id)
	if err != nil {
		return Address{}, fmt.Errorf("libp2p_id: %w", err)
	}
	if err := belongs(who, pubkey); err != nil {
		return Address{}, fmt.Errorf("libp2p_id: %w", err)
	}
	info := peer.AddrInfo{ID: who}
	for _, text := range addrs {
		addr, err := ma.NewMultiaddr(text)
		if err != nil {
			continue
		}
		at, named := peer.SplitAddr(addr)
		if at != nil && (named == "" || named == who) {
			info.Addrs = append(info.Addrs, of(at)...)
		}
	}
	if info.Addrs = usable(info.Addrs); len(info.Addrs) == 0 {
		return Address{}, errors.New("libp2p_addrs: none of the relay's host, by TCP or QUIC v1")
	}
	return Address{info}, nil
}

// String returns the address as ParseAddress takes it.
func (a Address) String() string {
	return fmt.Sprintf("%s/p2p/%s", a.info.Addrs[0], a.info.ID)
}

// belongs reports whether a peer's id is a Nostr key.
func belongs(id peer.ID, pubkey string) error {
	x, err := hex.DecodeString(pubkey)
	if err != nil {
		return fmt.Errorf("pubkey: %w", err)
	}
	for _, parity := range []byte{2, 3} {
		key, err := crypto.UnmarshalSecp256k1PublicKey(append([]byte{parity}, x...))
		if err != nil {
			return fmt.Errorf("pubkey: %w", err)
		}
		if id.MatchesPublicKey(key) {
			return nil
		}
	}
	return errors.New("is not of the key that has signed it")
}

// usable keeps the addresses that we can dial: a host by address or name, and
// TCP or QUIC v1. Names under /dnsaddr, which lead anywhere, are not among them.
func usable(addrs []ma.Multiaddr) (out []ma.Multiaddr) {
	for _, addr := range addrs {
		var codes []int
		for _, part := range addr {
			codes = append(codes, part.Protocol().Code)
		}
		if len(out) < maxAddrs && len(codes) >= 2 && isHost(codes[0]) && isTransport(codes[1:]) {
			out = append(out, addr)
		}
	}
	return out
}

func isHost(code int) bool {
	switch code {
	case ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
		return true
	}
	return isAddress(code)
}

func isTransport(codes []int) bool {
	if len(codes) == 1 {
		return codes[0] == ma.P_TCP
	}
	return len(codes) == 2 && codes[0] == ma.P_UDP && codes[1] == ma.P_QUIC_V1
}

// gater is asked before every address is dialled, after names were resolved, and
// before a connection is taken.
type gater struct {
	dialguard.Guard

	serving *limiter
}

func (g gater) InterceptPeerDial(peer.ID) bool { return true }

func (g gater) InterceptAddrDial(_ peer.ID, addr ma.Multiaddr) bool {
	at, ok := addrPort(addr)
	return ok && g.Allows(at)
}

// addrPort returns where an address leads that [usable] lets pass, once its name
// is resolved.
func addrPort(addr ma.Multiaddr) (netip.AddrPort, bool) {
	if len(addr) < 2 {
		return netip.AddrPort{}, false
	}
	ip, ok := netip.AddrFromSlice(addr[0].RawValue())
	port, err := strconv.ParseUint(addr[1].Value(), 10, 16)
	return netip.AddrPortFrom(ip, uint16(port)), ok && err == nil && isAddress(addr[0].Protocol().Code)
}

func isAddress(code int) bool { return code == ma.P_IP4 || code == ma.P_IP6 }

func (g gater) InterceptAccept(c network.ConnMultiaddrs) bool {
	return !g.serving.barred(node.Network(c.RemoteMultiaddr()), time.Now())
}

func (gater) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool { return true }

func (gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
