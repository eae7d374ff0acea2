// Package cut cuts connections of tests in the middle, after so many bytes.
package cut

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Budget is how many bytes may pass until the next cut.
type Budget struct {
	cuts *atomic.Int64

	mu   sync.Mutex
	left int
	draw func() int
}

// NewBudget returns a budget that draw renews with every cut; cuts counts them.
// draw is called by one goroutine at a time.
func NewBudget(cuts *atomic.Int64, draw func() int) *Budget {
	return &Budget{cuts: cuts, left: draw(), draw: draw}
}

// Spend counts bytes in either direction and reports whether to cut now.
func (b *Budget) Spend(bytes int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left -= bytes; b.left >= 0 {
		return false
	}
	b.cuts.Add(1)
	b.left = b.draw()
	return true
}

// TCP passes connections on to an address until the test ends, each with the
// budget that budget returns for it. It returns the address to connect to.
func TCP(tb testing.TB, to string, budget func() *Budget) (through string) {
	tb.Helper()
	var listen net.ListenConfig
	ln, err := listen.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var running sync.WaitGroup
	over, end := context.WithCancel(context.Background())
	running.Go(func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			b := budget()
			running.Go(func() { pass(over, from, to, b) })
		}
	})
	tb.Cleanup(func() {
		ln.Close()
		end()
		running.Wait()
	})
	return ln.Addr().String()
}

// pass passes one connection on until it ends, is cut, or the test is over.
func pass(over context.Context, from net.Conn, address string, b *Budget) {
	defer context.AfterFunc(over, func() { from.Close() })()
	var dialer net.Dialer
	to, err := dialer.DialContext(over, "tcp", address)
	if err != nil {
		from.Close()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { flow(from, to, b) })
	both.Go(func() { flow(to, from, b) })
	both.Wait()
}

// flow passes on what comes from one side. The end of either ends both.
func flow(from, to net.Conn, b *Budget) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil || b.Spend(n) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
