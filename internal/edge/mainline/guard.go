package mainline

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// receiveBuffer is asked of the kernel, which grants at most net.core.rmem_max. With the usual 208 KiB bursts of
// answers are dropped unseen.
const receiveBuffer = 8 << 20

var errForbidden = errors.New("address is not on the public internet")

// guard stands between the UDP socket and the library, as its [net.PacketConn]. See the package documentation.
type guard struct {
	*net.UDPConn
	allowPrivate bool
	readOnly     bool
	deliver      func(from netip.AddrPort, p packet) bool // takes replies to our own queries

	closeOnce sync.Once
	closing   chan struct{}
	reading   sync.Mutex // held by the library's read loop

	received, refused, sent, answered atomic.Int64
	mirror                            mirror
}

// ReadFrom returns the next packet for the library. It ends only with Close: the library panics on any read error, and
// UDP sockets report those that others' ICMP messages cause.
func (g *guard) ReadFrom(b []byte) (int, net.Addr, error) {
	g.reading.Lock()
	defer g.reading.Unlock()
	for {
		n, from, err := g.ReadFromUDPAddrPort(b)
		if err != nil {
			select {
			case <-g.closing:
				return 0, nil, net.ErrClosed
			case <-time.After(time.Millisecond): // so that an error that stays does not spin
				continue
			}
		}
		g.received.Add(1)
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		p, err := parsePacket(b[:n])
		if err != nil || !dialable(from, g.allowPrivate) {
			g.refused.Add(1)
			continue
		}
		if p.kind == 'q' {
			if g.readOnly {
				continue // nothing is answered, so nothing needs to be looked at
			}
		} else if g.deliver(from, p) {
			g.answered.Add(1)
			g.mirror.add(p.self)
			continue
		}
		return n, net.UDPAddrFromAddrPort(from), nil
	}
}

// WriteTo sends a packet of the library, unless it goes where a stranger must not send us.
func (g *guard) WriteTo(b []byte, to net.Addr) (int, error) {
	ua, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, errForbidden
	}
	addr := ua.AddrPort()
	if err := g.send(b, netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (g *guard) send(b []byte, to netip.AddrPort) error {
	if !dialable(to, g.allowPrivate) {
		return errForbidden
	}
	g.sent.Add(1)
	_, err := g.WriteToUDPAddrPort(b, to)
	return err
}

// Close ends ReadFrom. It may be called more than once.
func (g *guard) Close() error {
	var err error
	g.closeOnce.Do(func() {
		close(g.closing)
		err = g.UDPConn.Close()
	})
	return err
}
