//go:build linux

package dhtsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
)

// maxSize is how many addresses 127.0.0.0/8 has.
const maxSize = 1 << 24

// Net is a running simulated network.
type Net struct {
	conns []*ipv4.PacketConn
	done  sync.WaitGroup

	mu    sync.Mutex
	world world
	items map[storageKey]*item
	heard map[uint32]*window
	stats Stats
}

// storageKey is where an item is stored: at which address, for which target.
type storageKey struct {
	at     netip.AddrPort
	target [20]byte
}

// window is what a node remembers of its only client's messages.
type window struct {
	since time.Time
	count int
	until time.Time // ignored until then
}

// Stats are totals since the start or the last Reset.
type Stats struct {
	Packets      int // that clients sent
	Bytes        int
	Replies      int
	ReplyBytes   int
	Gets, Puts   int // queries among the packets that reached a live node
	Bans         int
	IgnoredByBan int
}

// udpOverhead are the bytes of the IPv4 and UDP headers, which Stats count as well.
const udpOverhead = 28

// Start opens the sockets, on 16 ports from port on. size is the number of nodes, stale the share of routing table entries
// that name a node that has left.
func Start(ctx context.Context, size int, port uint16, stale float64) (*Net, error) {
	if size < 1000 || size > maxSize {
		return nil, fmt.Errorf("a simulated network has 1000 to %d nodes, not %d", maxSize, size)
	}
	n := &Net{
		world: world{size: uint32(size), base: port, stale: stale},
		items: make(map[storageKey]*item), heard: make(map[uint32]*window),
	}
	for i := range uint16(portCount) {
		conn, err := listen(ctx, port+i)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("couldn't open the simulated nodes' port: %w", err), n.Close())
		}
		n.conns = append(n.conns, conn)
		n.done.Go(func() { n.serve(conn, port+i) })
	}
	return n, nil
}

// listen opens one port on all addresses of the loopback interface.
func listen(ctx context.Context, port uint16) (*ipv4.PacketConn, error) {
	var bind error
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return errors.Join(c.Control(func(fd uintptr) { bind = syscall.BindToDevice(int(fd), "lo") }), bind)
	}}
	conn, err := config.ListenPacket(ctx, "udp4", fmt.Sprintf("0.0.0.0:%d", port))
	if err != nil {
		return nil, err
	}
	_ = conn.(*net.UDPConn).SetReadBuffer(8 << 20)
	p := ipv4.NewPacketConn(conn)
	return p, p.SetControlMessage(ipv4.FlagDst, true)
}

// Close ends all nodes.
func (n *Net) Close() error {
	var errs []error
	for _, c := range n.conns {
		errs = append(errs, c.Close())
	}
	n.done.Wait()
	return errors.Join(errs...)
}

func (n *Net) serve(conn *ipv4.PacketConn, port uint16) {
	buf := make([]byte, 1<<16)
	for {
		size, control, from, err := conn.ReadFrom(buf)
		if err != nil {
			return // closed
		}
		to, ok := netip.AddrFromSlice(control.Dst.To4())
		if !ok {
			continue
		}
		if reply := n.answer(netip.AddrPortFrom(to, port), buf[:size]); reply != nil {
			// The reply must come from the address that was asked.
			_, _ = conn.WriteTo(reply, &ipv4.ControlMessage{Src: control.Dst}, from)
		}
	}
}

// Advance lets time pass: a share of all nodes leaves, with what they stored, and others join.
func (n *Net) Advance(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.world.churn = append(n.world.churn, share)
	clear(n.heard)
}

// Reset sets the totals to zero.
func (n *Net) Reset() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stats = Stats{}
}

// Stats returns the totals.
func (n *Net) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats
}

// Holders returns how many of the k live nodes nearest to target hold an item of it.
func (n *Net) Holders(target [20]byte, k int) (holders int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, node := range n.world.nearest(target, k) {
		if n.items[storageKey{node.addr, target}] != nil {
			holders++
		}
	}
	return holders
}

// Entrances returns the addresses of a few live nodes, to start from.
func (n *Net) Entrances(count int) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for i := range count {
		s := uint32(hash(aboutClient, uint64(i)) % uint64(n.world.size))
		out = append(out, n.world.node(s, n.world.generation(s)).addr.String())
	}
	return out
}
