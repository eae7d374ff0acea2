package mainline

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

var errForbidden = errors.New("address is not on the public internet")

// receiveBuffer is asked of the kernel. With its usual 208 KiB, bursts of answers are dropped unseen.
const receiveBuffer = 8 << 20

// readAtOnce is how many packets one system call reads at most.
const readAtOnce = 16

// guard stands between the UDP socket and the library, as its [net.PacketConn]. See the package documentation.
type guard struct {
	*net.UDPConn
	allowPrivate bool
	readOnly     bool
	deliver      func(from netip.AddrPort, p packet) bool // takes replies to our own queries
	flush        func()                                   // sends what those replies led to

	batches *ipv4.PacketConn
	reading sync.Mutex     // held by the library's read loop
	batch   []ipv4.Message // read, of which those from next to filled are still to be looked at
	next    int
	filled  int

	closeOnce sync.Once
	closing   chan struct{}

	received, refused, sent, answered atomic.Int64
	external                          externalAddrs
}

func newGuard(conn *net.UDPConn, c Config) *guard {
	g := &guard{
		UDPConn: conn, allowPrivate: c.AllowPrivate, readOnly: c.ReadOnly, batches: ipv4.NewPacketConn(conn),
		batch: make([]ipv4.Message, readAtOnce), closing: make(chan struct{}),
	}
	for i := range g.batch {
		g.batch[i].Buffers = [][]byte{make([]byte, maxPacket+1)} // the last byte shows that a packet was longer
	}
	growReceiveBuffer(conn)
	return g
}

// ReadFrom returns the next packet for the library, and handles replies to our own queries on the way. It ends only with
// Close: the library panics on any read error, and UDP sockets report those that others' ICMP messages cause.
func (g *guard) ReadFrom(b []byte) (int, net.Addr, error) {
	g.reading.Lock()
	defer g.reading.Unlock()
	for {
		for g.next < g.filled {
			m := &g.batch[g.next]
			g.next++
			if packet := m.Buffers[0][:m.N]; g.pass(packet, m.Addr) {
				return copy(b, packet), m.Addr, nil
			}
		}
		g.flush()
		n, err := g.batches.ReadBatch(g.batch, 0)
		g.next, g.filled = 0, n
		if err != nil {
			g.filled = 0
			select {
			case <-g.closing:
				return 0, nil, net.ErrClosed
			case <-time.After(time.Millisecond): // so that an error that stays does not spin
			}
		}
	}
}

// pass reports whether a packet is for the library.
func (g *guard) pass(packet []byte, sender net.Addr) bool {
	g.received.Add(1)
	from := addrPort(sender)
	p, err := parsePacket(packet)
	if err != nil || !dialable(from, g.allowPrivate) {
		g.refused.Add(1)
		return false
	}
	if p.kind == 'q' {
		return !g.readOnly // nothing is answered, so nothing needs to be looked at
	}
	if g.deliver(from, p) {
		g.answered.Add(1)
		g.external.add(p.self)
		return false
	}
	return true
}

// WriteTo sends a packet of the library, unless it goes where a stranger must not send us.
func (g *guard) WriteTo(b []byte, to net.Addr) (int, error) {
	if !dialable(addrPort(to), g.allowPrivate) {
		return 0, errForbidden
	}
	g.sent.Add(1)
	return g.UDPConn.WriteTo(b, to)
}

// sendAll sends packets to addresses that are dialable. One that cannot be sent is lost, as on the way.
func (g *guard) sendAll(packets []ipv4.Message) {
	g.sent.Add(int64(len(packets)))
	for len(packets) > 0 {
		n, err := g.batches.WriteBatch(packets, 0)
		if err != nil {
			n = 1
		}
		packets = packets[n:]
	}
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

// addrPort returns the address in the form in which it is compared: zero unless it is one of UDP, and never mapped to IPv6.
func addrPort(addr net.Addr) netip.AddrPort {
	ua, ok := addr.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	a := ua.AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
