// Package dhtnet runs small DHT networks of real nodes on the loopback interface, for tests and demonstrations.
package dhtnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
)

// Network is a running DHT network. Every node stores items and answers queries; nothing limits its rate.
type Network struct {
	Nodes []*mainline.Node
}

// Start runs size nodes on random ports of 127.0.0.1 and returns when their routing tables are good: every node has
// had an answer from each node that belongs in its table. It takes about 0.4 MiB of memory a node.
func Start(ctx context.Context, size int) (*Network, error) {
	return StartAt(ctx, netip.MustParseAddrPort("127.0.0.1:0"), size)
}

// StartAt is [Start] on another address, with consecutive ports from the given one on unless it is 0.
func StartAt(ctx context.Context, first netip.AddrPort, size int) (*Network, error) {
	n := &Network{}
	for i := range size {
		at := first
		if first.Port() != 0 {
			at = netip.AddrPortFrom(first.Addr(), first.Port()+uint16(i))
		}
		node, err := mainline.Start(ctx, nodeConfig(at.String()))
		if err != nil {
			return nil, errors.Join(err, n.Close())
		}
		n.Nodes = append(n.Nodes, node)
	}
	if err := n.introduce(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Client starts a read-only node that knows the network through its bootstrap nodes, as production nodes know
// Mainline. The caller closes it.
func (n *Network) Client(ctx context.Context) (*mainline.Node, error) {
	config := nodeConfig(netip.AddrPortFrom(n.Nodes[0].Addr().Addr(), 0).String())
	config.ReadOnly = true
	config.Bootstrap = n.Bootstrap()
	return mainline.Start(ctx, config)
}

// Bootstrap returns the addresses of a few nodes, host:port.
func (n *Network) Bootstrap() []string {
	var out []string
	for _, node := range n.Nodes[:min(4, len(n.Nodes))] {
		out = append(out, node.Addr().String())
	}
	return out
}

// Close ends all nodes.
func (n *Network) Close() error {
	var group errgroup.Group
	for _, node := range n.Nodes {
		group.Go(node.Close)
	}
	return group.Wait()
}

func nodeConfig(addr string) mainline.Config {
	return mainline.Config{
		Addr: addr, AllowPrivate: true, Rate: -1, PerAddress: -1,
		Log: slog.New(slog.DiscardHandler),
	}
}

// patience is enough even on a machine so busy that answers take longer than the second that a node waits for one,
// again and again.
const patience = 2 * time.Minute

// bucketSize is how many nodes a Kademlia routing table holds at each distance (BEP 5).
const bucketSize = 8

// introduce fills each node's table with the nodes that an old network would have put there: up to eight for each
// length of the prefix that two ids share.
func (n *Network) introduce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8) // more at a time overflow the kernel's receive buffers
	for _, a := range n.Nodes {
		group.Go(func() error {
			var counts [161]int
			var addrs []netip.AddrPort
			for _, b := range n.Nodes {
				if at := sharedPrefix(a.ID(), b.ID()); at < 160 && counts[at] < bucketSize {
					counts[at]++
					addrs = append(addrs, b.Addr())
				}
			}
			// Few at a time, so that a busy machine answers them in time.
			for some := range slices.Chunk(addrs, bucketSize) {
				for a.Introduce(ctx, some...) < len(some) {
					if err := ctx.Err(); err != nil {
						return fmt.Errorf("%d nodes do not all answer on loopback: %w", len(some), err)
					}
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func sharedPrefix(a, b [20]byte) int {
	for i := range a {
		if d := a[i] ^ b[i]; d != 0 {
			return i*8 + bits.LeadingZeros8(d)
		}
	}
	return 160
}
