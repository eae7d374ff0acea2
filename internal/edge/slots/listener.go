package slots

import (
	"net"
	"net/netip"
	"sync"

	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
)

// Listener counts connections from when they come until they are closed, since whoever says nothing holds a file as well. Its fields
// are set before it is used.
type Listener struct {
	net.Listener

	Slots   *Shared               // by [clientaddr.Share]
	Exempt  func(c net.Conn) bool // tells those that are not counted; nil is none
	Refused func()                // is told of each that is closed for want of a slot; nil is nobody
}

// Accept returns the next connection that is within its share; others are closed.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || l.Exempt != nil && l.Exempt(c) {
			return c, err
		}
		leave, ok := l.Slots.Take(clientaddr.Share(AddrOf(c.RemoteAddr())).String(), func() { c.Close() })
		if ok {
			return &accepted{Conn: c, leave: sync.OnceFunc(leave)}, nil
		}
		if l.Refused != nil {
			l.Refused()
		}
		c.Close()
	}
}

// AddrOf is the IP address of one end of a connection, an invalid one of what has none.
func AddrOf(at net.Addr) netip.Addr {
	addr, _ := netip.ParseAddrPort(at.String())
	return addr.Addr().Unmap().WithZone("")
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

// CloseWrite says that nothing comes any more, as that of TCP does.
func (c *accepted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
