package gateway

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
	"github.com/relaymesh/relaymesh/internal/edge/slots"
)

const (
	// connectionsInAll is how many clients there are at most, where the process may have files enough.
	connectionsInAll = 20_000
	// unaskedOfAddress is how many connections of one address are open beyond its clients: those that have not asked yet, and those
	// that are told why they are not let in.
	unaskedOfAddress = 64
)

// within returns how many clients a gateway takes that may have so many files open, of which each client needs two, and how many
// connections are left beside them. Where that is fewer than it would take, it is said once.
func within(files int, log *slog.Logger) (clients, beside int) {
	spare := files/50 + 100
	clients = max((files-spare)/2, files/4)
	if clients >= connectionsInAll {
		return connectionsInAll, connectionsInAll / 100
	}
	log.Warn("the gateway takes fewer clients, since the process may have few files open, and each needs two (LimitNOFILE, ulimit -Hn)",
		"notice", fmt.Sprintf("%d clients of %d open files", clients, files))
	return clients, spare / 2
}

// listener counts connections from when they come, since whoever says nothing holds a file as well: one address has its share, and
// when all are taken, an address with fewer gets one of the address with most. Those of proxies that are believed are counted as
// clients alone.
type listener struct {
	net.Listener

	slots   *slots.Shared
	proxies clientaddr.Proxies
	refused func()
}

// Accept returns the next connection that is within its share; others are closed.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		at, _ := netip.ParseAddrPort(c.RemoteAddr().String())
		addr := at.Addr().Unmap().WithZone("")
		if l.proxies.Trust(addr) {
			return c, nil
		}
		leave, ok := l.slots.Take(clientaddr.Share(addr).String(), func() { c.Close() })
		if ok {
			return &accepted{Conn: c, leave: sync.OnceFunc(leave)}, nil
		}
		l.refused()
		c.Close()
	}
}

// accepted is a connection that is counted until it is closed.
type accepted struct {
	net.Conn

	leave func()
}

// Close gives the slot back.
func (c *accepted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite is that of TCP; see halfClose.
func (c *accepted) CloseWrite() error {
	halfClose(c.Conn)
	return nil
}
