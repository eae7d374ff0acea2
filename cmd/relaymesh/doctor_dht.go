package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/run"
)

func (c *doctorCmd) dht(ctx context.Context, _ *output, e examination) {
	own := c.DHT
	own.NodesFile = "" // a running pipeline keeps it
	if host, _, err := net.SplitHostPort(own.Listen); err == nil {
		own.Listen = net.JoinHostPort(host, "0") // and has the port
	}
	node, err := run.StartNode(ctx, config.Config{AllowPrivate: c.AllowPrivate, DHT: own}, slog.New(slog.DiscardHandler))
	if err != nil {
		e.fail("socket", err.Error(), "correct --dht-listen and --dht-bootstrap")
		return
	}
	defer node.Close()
	result, err := node.Get(ctx, node.ID(), nil, mainline.GetOptions{})
	if err != nil || result.Answered == 0 {
		e.fail("bootstrap", fmt.Sprintf("no node answers (%v)", err),
			"let UDP out and its answers in, to any address and port; or name nodes that answer with --dht-bootstrap")
		return
	}
	e.ok("bootstrap", "%d of %d nodes answered", result.Answered, result.Queried)
	c.reachable(node, e)
	c.indexes(ctx, own, e)
}

// indexes tells which list indexes are found and how they stand.
func (c *doctorCmd) indexes(ctx context.Context, own config.DHT, e examination) {
	conf := config.Config{AllowPrivate: c.AllowPrivate, DHT: own, Index: c.Index}
	if c.Index.KnownFile == "" && c.findData() == nil {
		conf.Index.KnownFile = filepath.Join(c.Data, "index", "known.json")
	}
	known, err := run.FindIndexes(ctx, conf, slog.New(slog.DiscardHandler))
	found, usable := stand(known, time.Now())
	if !usable {
		e.advise("list indexes", fmt.Sprintf("%s; none is found (%v)", found, err),
			"authors who published nowhere else are not found by npub; name an index by --index-known")
		return
	}
	e.ok("list indexes", "%s", found)
}

// stand says how list indexes stand, of which the best come first, and whether one of them may be asked.
func stand(known []run.KnownIndex, now time.Time) (found string, usable bool) {
	counts := map[run.Standing]int{}
	var best []string
	for _, k := range known {
		standing := k.Standing(now)
		counts[standing]++
		usable = usable || k.Verified > 0 && !k.LeftAlone(now)
		if len(best) < 10 && k.Verified > 0 {
			best = append(best, fmt.Sprintf("%s (%s, delivered %d, missed %d)", k.URL, standing, k.Delivered, k.Missed))
		}
	}
	var parts []string
	for _, standing := range run.Standings() {
		if n := counts[standing]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, standing))
		}
	}
	found = fmt.Sprintf("%d known", len(known))
	if len(parts) > 0 {
		found += " (" + strings.Join(parts, ", ") + ")"
	}
	if len(best) > 0 {
		found += ", among them " + strings.Join(best, ", ")
	}
	return found, usable
}

// reachable tells from how others see us whether they could begin to talk.
func (c *doctorCmd) reachable(node *mainline.Node, e examination) {
	var seen netip.AddrPort
	votes, total := 0, 0
	for addr, n := range node.SeenAs() {
		total += n
		if n > votes {
			seen, votes = addr, n
		}
	}
	advice := "that is enough to publish and look up; to answer others (--dht-serve), "
	switch {
	case total == 0:
		e.advise("reachable", "unknown: no node says how it sees us", advice+"let UDP in")
	case 2*votes <= total:
		e.advise("reachable", "no: each node sees another address of ours (symmetric NAT)", advice+"use a public address")
	case !ownAddress(seen.Addr()):
		e.advise("reachable", fmt.Sprintf("no: seen as %s, which is a NAT's", seen), advice+"forward a UDP port and name it in --dht-listen")
	default:
		e.ok("reachable", "as %s, if no firewall holds UDP off", seen.Addr())
	}
}

// ownAddress reports whether an address is one of this machine.
func ownAddress(addr netip.Addr) bool {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == addr {
			return true
		}
	}
	return false
}
