package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/run"
)

// sight is what fresh nodes have seen around a record, address by address.
type sight struct {
	own     string                   // the first address as DHT nodes see it, or ""
	from    int                      // number of the address that asks
	found   []bool                   // by address: whether the record was found
	holders map[mainline.Contact]int // at which place of the holders

	nearest []mainline.Contact // of the last lookup
	sizes   []float64          // estimates of the network, away from the record
}

// String says what was found, without the address.
func (e *elsewhere) String() string {
	if e.Holders == 0 {
		return "no record"
	}
	return fmt.Sprintf("seq %d at %d nodes", e.Seq, e.Holders)
}

// addresses returns where the nodes listen: as always, and at each address of --from.
func (c *dhtVerifyCmd) addresses() ([]string, error) {
	out := []string{c.DHT.Listen}
	for _, from := range c.From {
		addr, err := netip.ParseAddr(from)
		if err != nil || !addr.Is4() || addr.IsUnspecified() {
			return nil, usage("--from %q: want an IPv4 address of this machine", from)
		}
		out = append(out, net.JoinHostPort(from, "0"))
	}
	return out, nil
}

// askElsewhere has a dhtworker look at another address, if there is a pipeline. That it
// cannot is a warning: what was found here stands.
func (c *dhtVerifyCmd) askElsewhere(ctx context.Context, o *output, v *verified, s *sight) {
	key, err := parseDHTKey(c.Record)
	if c.NATS == "" || err != nil {
		return
	}
	js, err := run.Dial(ctx, c.NATS, c.NATSAuth, cliName, obs.NewLogger(o.err, "error"))
	if err != nil {
		v.warn("the workers of the pipeline cannot be asked: %v", err)
		return
	}
	defer js.Conn().Close()
	switch w, err := run.Elsewhere(ctx, js, key, cmp.Or(s.own, "unknown")); {
	case err != nil:
		v.warn("the workers of the pipeline cannot be asked: %v", err)
	case w.From == "":
		v.warn("no worker of the pipeline is at another address than this machine")
	default:
		v.Elsewhere = &elsewhere{From: printable(w.From), Seq: w.Seq, Holders: w.Holders}
	}
}

func (v *verified) warn(format string, args ...any) {
	v.Warnings = append(v.Warnings, printable(fmt.Sprintf(format, args...)))
}

// around notes which nodes are nearest to the record, and how dense the network is where nobody can have prepared
// for it: around a target by chance.
func (s *sight) around(ctx context.Context, node *mainline.Node, nearest []mainline.Contact) {
	s.nearest = nearest
	var elsewhere [20]byte
	_, _ = rand.Read(elsewhere[:]) // never fails
	if result, err := node.Get(ctx, elsewhere, nil, mainline.GetOptions{}); err == nil {
		s.sizes = append(s.sizes, mainline.SizeOf(elsewhere, result.Closest))
	}
}

// doubt says what cannot be seen from here, and what speaks against the holders.
func (v *verified) doubt(target [20]byte, s *sight) {
	size := mainline.MedianSize(s.sizes, 1)
	v.NetworkSize = int(size)
	if v.SharedBits = mainline.SharedBits(target, s.nearest, size); v.SharedBits > 0 {
		v.warn("the nearest nodes share %d bits with the target, which is no chance among some %d nodes: somebody may have put them there",
			v.SharedBits, v.NetworkSize)
	}
	if e := v.Elsewhere; e != nil && ((e.Holders > 0) != (len(v.Holders) > 0) || e.Seq != v.Seq) {
		v.warn("the worker at %s finds %s, which is not what is found here: nodes may answer one address and nobody else", e.From, e)
	}
	switch {
	case len(v.Holders) == 0, len(s.found) == 1 && v.Elsewhere != nil:
		return
	case len(s.found) == 1:
		v.warn("this is what one address sees: nodes may answer it and nobody else; ask from others by --from, or a pipeline's worker by --nats")
		return
	}
	alone := 0
	for _, h := range v.Holders {
		if h.From < len(s.found) {
			alone++
		}
	}
	blind := 0
	for _, found := range s.found {
		if !found {
			blind++
		}
	}
	if blind > 0 {
		v.warn("%d of %d addresses do not find the record: its holders do not answer everybody", blind, len(s.found))
	} else if alone > len(v.Holders)/2 {
		v.warn("%d of %d holders did not show the record to each of %d addresses", alone, len(v.Holders), len(s.found))
	}
}
