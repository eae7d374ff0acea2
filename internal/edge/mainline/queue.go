package mainline

import (
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
)

// queue holds packets that wait to be sent together.
type queue struct {
	bytes    []byte // of all packets, one after the other
	packets  []outgoing
	prepared []ipv4.Message // memory
}

type outgoing struct {
	end int // in queue.bytes
	to  netip.AddrPort
}

// messages returns the packets in the form in which the kernel takes them; they share the queue's memory.
func (q *queue) messages() []ipv4.Message {
	begin := 0
	for i, p := range q.packets {
		if i == len(q.prepared) {
			q.prepared = append(q.prepared, ipv4.Message{Buffers: make([][]byte, 1), Addr: &net.UDPAddr{IP: make(net.IP, net.IPv4len)}})
		}
		m := &q.prepared[i]
		m.Buffers[0] = q.bytes[begin:p.end]
		addr, ip := m.Addr.(*net.UDPAddr), p.to.Addr().As4()
		copy(addr.IP, ip[:])
		addr.Port = int(p.to.Port())
		begin = p.end
	}
	return q.prepared[:len(q.packets)]
}

// emptied is a queue without packets that has the same memory.
func (q *queue) emptied() queue {
	return queue{bytes: q.bytes[:0], packets: q.packets[:0], prepared: q.prepared}
}
