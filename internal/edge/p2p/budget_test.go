package p2p

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/hosts"
)

// Connections to a peer are its host's, beside those by websocket: here an address
// of loopback, which has those of eight hosts.
func TestConnectionsCountForTheHost(t *testing.T) {
	server := serveMemoryRelay(t, newMemoryRelay(), timing{})
	for _, addr := range server.Addrs() { // by QUIC, and by TCP
		var budget hosts.Budget
		at := netip.MustParseAddr("127.0.0.1")
		knock := func(within time.Duration) (*hosts.Lease, error) {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			return budget.Knock(ctx, at)
		}
		client, err := Start(Options{AllowPrivate: true, Budget: &budget})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		to, err := ParseAddress(addr)
		if err != nil {
			t.Fatal(err)
		}
		for range 8*hosts.MaxConns - 1 {
			if _, err := knock(time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		peer := client.Peer(to)
		s, err := client.open(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := knock(10 * time.Millisecond); err == nil {
			t.Errorf("%s: the connection takes nothing of the budget", addr)
		}
		s.reset()
		peer.Close()
		if _, err := knock(time.Minute); err != nil {
			t.Errorf("%s: a connection that has ended still counts: %v", addr, err)
		}

		// Now that is all.
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if s, err := client.open(ctx, to); err == nil {
			t.Errorf("%s: dialled beyond the budget", addr)
			s.reset()
		}
		cancel()
	}
}
