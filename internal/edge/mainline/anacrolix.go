package mainline

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"
	alog "github.com/anacrolix/log"
	"golang.org/x/time/rate"
)

// newServer starts the library's node on the guard: it keeps the routing table and, unless read-only, answers others.
// What is set here works around its defects.
func newServer(g *guard, id [20]byte, c Config, budget *rate.Limiter, r *routers) (*dht.Server, error) {
	store, peers := newStore(maxStored), newPeerStore(maxInfohashes)
	if c.ReadOnly {
		store, peers = newStore(0), newPeerStore(0)
	}
	quiet := alog.NewLogger("dht")
	quiet.SetHandlers(alog.DiscardHandler)
	return dht.NewServer(&dht.ServerConfig{
		Conn:             g,
		NodeId:           id,
		NoSecurity:       true, // few nodes have BEP 42 ids; requiring them would leave the table empty
		Passive:          c.ReadOnly,
		OnQuery:          repairQuery,
		StartingNodes:    r.starting,
		DefaultWant:      []krpc.Want{krpc.WantNodes}, // else each IPv4 node comes a second time, mapped to IPv6
		QueryResendDelay: func() time.Duration { return maxPatience },
		SendLimiter:      budget, // the default is one limiter of 25 packets a second for the whole process
		Store:            store,
		Exp:              itemLifetime,
		PeerStore:        peers,
		Logger:           quiet,
	})
}

// repairQuery changes a query before the library answers it. A query without arguments would kill it. It answers
// find_node and get with the nodes around info_hash, which such queries do not have, instead of target.
func repairQuery(m *krpc.Msg, _ net.Addr) bool {
	if m.A == nil {
		return false
	}
	if m.Q == "find_node" || m.Q == "get" {
		m.A.InfoHash = m.A.Target
	}
	m.A.Want = []krpc.Want{krpc.WantNodes}
	return true
}

func nodeInfo(c Contact) krpc.NodeInfo {
	return krpc.NodeInfo{ID: c.ID, Addr: krpc.NodeAddr{IP: c.Addr.Addr().AsSlice(), Port: int(c.Addr.Port())}}
}

func contactOf(info krpc.NodeInfo) (Contact, bool) {
	ip, ok := netip.AddrFromSlice(info.Addr.IP)
	c := Contact{ID: info.ID, Addr: netip.AddrPortFrom(ip.Unmap(), uint16(info.Addr.Port))}
	return c, ok && c.Addr.Addr().Is4()
}

// routers resolves the bootstrap nodes' names, and remembers the addresses for a while because the library asks for
// them again and again when nothing answers.
type routers struct {
	hosts        []string
	allowPrivate bool
	log          *slog.Logger

	mu       sync.Mutex
	found    []netip.AddrPort
	resolved time.Time
}

const (
	resolveAgain   = 10 * time.Minute
	resolveTimeout = 5 * time.Second
)

// addresses returns those that can be used; it may block for as long as the resolver takes, five seconds at most.
func (r *routers) addresses() []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.found) > 0 && time.Since(r.resolved) < resolveAgain {
		return r.found
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	var found []netip.AddrPort
	for _, hostPort := range r.hosts {
		host, portText, _ := net.SplitHostPort(hostPort)
		port, err := net.DefaultResolver.LookupPort(ctx, "udp", portText)
		if err != nil {
			continue // the configuration was checked
		}
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
		if err != nil {
			r.log.Warn("couldn't resolve bootstrap node", "host", host, "err", err)
		}
		for _, ip := range ips {
			addr := netip.AddrPortFrom(ip.Unmap(), uint16(port))
			if dialable(addr, r.allowPrivate) {
				found = append(found, addr)
			} else {
				r.log.Warn("bootstrap node is not on the public internet", "host", host, "addr", addr)
			}
		}
	}
	if len(found) > 0 { // an old answer is better than none
		r.found, r.resolved = found, time.Now()
	}
	return r.found
}

// starting is addresses in the library's form. It never returns none: the library would leak a goroutine with every
// attempt to bootstrap. It filters the address that stands in for none.
func (r *routers) starting() ([]dht.Addr, error) {
	out := []dht.Addr{dht.NewAddr(&net.UDPAddr{IP: net.IPv4zero, Port: 1})}
	for _, addr := range r.addresses() {
		out = append(out, dht.NewAddr(net.UDPAddrFromAddrPort(addr)))
	}
	return out, nil
}
