package homerelay

import (
	"net"
	"sync"
	"time"
)

// writeTimeout ends a connection whose client does not read: khatru writes
// without a deadline and would block everyone who publishes.
const writeTimeout = 30 * time.Second

// conns is a listener that knows its connections: http.Server forgets those
// that became websockets.
type conns struct {
	net.Listener
	mu   sync.Mutex
	open map[net.Conn]struct{} // nil once closed
}

func (l *conns) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, owner: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		nc.Close()
		return nil, net.ErrClosed
	}
	l.open[c] = struct{}{}
	return c, nil
}

func (l *conns) closeAll() {
	l.mu.Lock()
	open := l.open
	l.open = nil
	l.mu.Unlock()
	for c := range open {
		c.Close()
	}
}

type conn struct {
	net.Conn
	owner *conns
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *conn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.open, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}
