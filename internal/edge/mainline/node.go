package mainline

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anacrolix/dht/v2"
	"golang.org/x/time/rate"
)

// Node is a node on the Mainline DHT. Its methods may be called from any number of goroutines.
type Node struct {
	config Config
	log    *slog.Logger
	id     [20]byte

	guard   *guard
	outbox  *outbox
	routing *routingTable
	routers *routers
	server  *dht.Server

	forged   atomic.Int64 // items that did not verify
	density  density
	measured measured
	saving   sync.Mutex // the later save is to stand
	closing  chan struct{}
	close    sync.Once
	tasks    sync.WaitGroup
}

// Start opens the socket and begins to fill the routing table; it does not wait for the network. The node runs until
// Close; ctx bounds only the start.
func Start(ctx context.Context, config Config) (*Node, error) {
	if err := config.setDefaults(); err != nil {
		return nil, err
	}
	saved := loadNodes(config.NodesFile, config.Log)
	if saved.ID == ([20]byte{}) {
		rand.Read(saved.ID[:])
	}
	var listen net.ListenConfig
	conn, err := listen.ListenPacket(ctx, "udp4", config.Addr)
	if err != nil {
		return nil, fmt.Errorf("couldn't listen for DHT packets: %w", err)
	}
	n := &Node{
		config: config, log: config.Log, id: saved.ID, routing: newRoutingTable(config.AllowPrivate), closing: make(chan struct{}),
		routers: &routers{hosts: config.Bootstrap, allowPrivate: config.AllowPrivate, log: config.Log},
	}
	budget := rate.NewLimiter(rate.Inf, 0)
	if config.Rate > 0 {
		budget = rate.NewLimiter(rate.Limit(config.Rate), max(1, int(config.Rate/4)))
	}
	n.guard = newGuard(conn.(*net.UDPConn), config)
	n.outbox = &outbox{
		guard: n.guard, id: n.id, readOnly: config.ReadOnly, budget: budget,
		limiter: newRateLimiter(config.PerAddress), routing: n.routing, calls: make(map[uint64]call),
	}
	n.outbox.clock = time.AfterFunc(tick, n.outbox.passTime)
	n.guard.deliver, n.guard.flush = n.outbox.deliver, n.outbox.flush
	if n.server, err = newServer(n.guard, n.id, config, budget, n.routers); err != nil {
		n.guard.Close()
		return nil, fmt.Errorf("couldn't start the DHT node: %w", err)
	}
	for _, c := range saved.Nodes {
		n.routing.add(c, time.Time{})
		_ = n.server.AddNode(nodeInfo(c))
	}
	n.tasks.Go(n.server.TableMaintainer)
	n.tasks.Go(n.bootstrapAgain)
	n.tasks.Go(n.saveRegularly)
	return n, nil
}

// Close ends the node and everything that waits in it, saves the nodes file, and returns when nothing runs any more.
func (n *Node) Close() error {
	var err error
	n.close.Do(func() {
		err = n.save()
		close(n.closing)
		n.server.Close()
		_ = n.guard.Close()
		n.tasks.Wait()
		n.guard.reading.Lock() // the library's read loop has left ReadFrom
		defer n.guard.reading.Unlock()
	})
	return err
}

// ID returns the node's id.
func (n *Node) ID() [20]byte { return n.id }

// Addr returns the UDP address that the node listens on.
func (n *Node) Addr() netip.AddrPort {
	return n.guard.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Stats are counters since the start and the present state, for metrics and readiness.
type Stats struct {
	GoodNodes int   // nodes that answered lately; a node with none is not ready
	Sent      int64 // packets, those of the routing table included
	Received  int64 // packets
	Refused   int64 // received packets that were not valid KRPC or came from a forbidden address
	Queries   int64 // our queries for items
	Answered  int64 // replies to them, errors included
	Forged    int64 // items that did not belong to the target or did not verify

	// BansSuspected are nodes that answered once, and in the last ten minutes were silent at least three times in a row while
	// others answered. A few are nodes that have left; many mean that this address is ignored for sending too much.
	BansSuspected int
}

// Stats returns the present figures.
func (n *Node) Stats() Stats {
	n.outbox.mu.Lock()
	queries := n.outbox.queries
	n.outbox.mu.Unlock()
	return Stats{
		GoodNodes: max(n.routing.good(time.Now()), n.server.Stats().GoodNodes),
		Sent:      n.guard.sent.Load(), Received: n.guard.received.Load(), Refused: n.guard.refused.Load(),
		Queries: queries, Answered: n.guard.answered.Load(), Forged: n.forged.Load(),
		BansSuspected: n.outbox.limiter.suspectedBans(time.Now()),
	}
}

// Introduce pings nodes so that those that answer enter the routing table, and returns how many did. It waits for all
// answers, about a second for a node that is silent.
func (n *Node) Introduce(ctx context.Context, addrs ...netip.AddrPort) int {
	var good atomic.Int64
	var pings sync.WaitGroup
	for _, addr := range addrs {
		if ctx.Err() != nil {
			break
		}
		pings.Go(func() {
			if n.server.Ping(net.UDPAddrFromAddrPort(addr)).Err == nil {
				good.Add(1)
			}
		})
	}
	pings.Wait()
	return int(good.Load())
}

// seeds returns nodes from which a lookup starts, nearest first.
func (n *Node) seeds(target [20]byte, count int) []Contact {
	if n.routing.size() < count {
		for _, info := range n.server.Nodes() {
			if c, ok := contactOf(info); ok && dialable(c.Addr, n.config.AllowPrivate) {
				n.routing.add(c, time.Time{}) // unproved, so that any node that answers takes its place
			}
		}
	}
	return n.routing.nearest(target, count)
}
