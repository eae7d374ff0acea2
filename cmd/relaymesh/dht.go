package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

type dhtCmd struct {
	Status dhtStatusCmd `cmd:"" help:"Join the DHT and tell how it answers."`
	Verify dhtVerifyCmd `cmd:"" help:"Ask through fresh nodes who holds a record."`

	Directory dhtDirectoryCmd `cmd:"" help:"List the relays of a directory on the DHT, such as that of HORNETS."`
}

// dhtFlags are those of commands that start a DHT node of their own.
type dhtFlags struct {
	AllowPrivate bool          `env:"RELAYMESH_ALLOW_PRIVATE" help:"Talk to addresses on loopback and private networks, too."`
	Timeout      time.Duration `default:"60s" help:"When to give up."`
	JSON         bool          `help:"Print one JSON object."`

	DHT config.DHT `embed:"" prefix:"dht-" group:"DHT"`
}

// node starts a node that nobody knows yet; the caller closes it.
func (f *dhtFlags) node(ctx context.Context, o *output) (*mainline.Node, error) {
	return run.StartNode(ctx, config.Config{AllowPrivate: f.AllowPrivate, DHT: f.DHT}, obs.NewLogger(o.err, "error"))
}

type dhtStatusCmd struct{ dhtFlags }

// dhtStatus is what the command prints; its fields are stable.
type dhtStatus struct {
	GoodNodes int     `json:"good_nodes"`
	Queries   int64   `json:"queries"`
	Answered  int64   `json:"answered"`
	Rate      float64 `json:"answer_rate"`
	Refused   int64   `json:"refused_packets"`
}

// Run looks something up that nobody has, and tells how many nodes answered.
func (c *dhtStatusCmd) Run(ctx context.Context, o *output) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	node, err := c.node(ctx, o)
	if err != nil {
		return err
	}
	defer node.Close()
	result, err := node.Get(ctx, node.ID(), nil, mainline.GetOptions{})
	if err != nil {
		return err
	}
	stats := node.Stats()
	s := dhtStatus{
		GoodNodes: stats.GoodNodes, Queries: int64(result.Queried), Answered: int64(result.Answered), Refused: stats.Refused,
		Rate: float64(result.Answered) / float64(max(result.Queried, 1)),
	}
	if c.JSON {
		return o.json(s)
	}
	_, err = fmt.Fprintf(o.out, "good nodes       %d\nanswered         %d of %d queries\nrefused packets  %d\n", s.GoodNodes, s.Answered,
		s.Queries, s.Refused)
	return err
}

type dhtVerifyCmd struct {
	dhtFlags
	Record string   `arg:"" help:"A DHT key (64 hex digits) or a target (40)."`
	Nodes  int      `default:"3" help:"How many fresh nodes ask from each address, one after the other."`
	From   []string `placeholder:"ADDRESS" help:"Ask from these IPv4 addresses of this machine, too: nodes may answer one alone."`
	NATS   string   `name:"nats" env:"RELAYMESH_NATS" placeholder:"URL" help:"Have a dhtworker of a pipeline look that is at another address."`

	config.NATSAuth
}

// verified is what the command prints; its fields are stable.
type verified struct {
	Target  string   `json:"target"`
	Seq     int64    `json:"seq"`
	Relays  []string `json:"relays,omitempty"`
	Holders []holder `json:"holders"`

	Elsewhere *elsewhere `json:"elsewhere,omitempty"` // what a worker at another address finds

	NetworkSize int      `json:"network_size,omitempty"` // estimated, in nodes; 0 is unknown
	SharedBits  int      `json:"shared_bits,omitempty"`  // by the nodes nearest to the target, where it is no chance
	Warnings    []string `json:"warnings,omitempty"`     // what cannot be seen, or speaks against what is
}

type holder struct {
	Address string `json:"address"`
	ID      string `json:"id"`
	Seen    int    `json:"seen"` // by how many of the fresh nodes
	From    int    `json:"from"` // from how many of our addresses

	last int // number of the address that saw it last, from 1
}

// elsewhere is what a dhtworker finds that DHT nodes see at another address.
type elsewhere struct {
	From    string `json:"from"`
	Seq     int64  `json:"seq"`
	Holders int    `json:"holders"` // 0: it finds no record
}

// Run asks each time as somebody whom no node knows: what they find, anyone
// finds.
func (c *dhtVerifyCmd) Run(ctx context.Context, o *output) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	target, err := parseTarget(c.Record)
	if err != nil {
		return err
	}
	asking, err := c.addresses()
	if err != nil {
		return err
	}
	v := verified{Target: hex.EncodeToString(target[:])}
	seen := sight{holders: map[mainline.Contact]int{}, found: make([]bool, len(asking))}
	for from, listen := range asking {
		c.DHT.Listen, seen.from = listen, from
		for range c.Nodes {
			if err := c.ask(ctx, o, target, &v, &seen); err != nil {
				return err
			}
		}
	}
	c.askElsewhere(ctx, o, &v, &seen)
	v.doubt(target, &seen)
	for _, warning := range v.Warnings {
		fmt.Fprintln(o.err, "warning:", warning)
	}
	if len(v.Holders) == 0 {
		return errors.New("not found: no node near the target holds such a record" + notTheOther(c.Record))
	}
	if c.JSON {
		return o.json(v)
	}
	w := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "target %s, seq %d, %d holders, relays %v\n", v.Target, v.Seq, len(v.Holders), v.Relays)
	fmt.Fprintf(w, "ADDRESS\tNODE\tSEEN BY\n")
	for _, h := range v.Holders {
		fmt.Fprintf(w, "%s\t%s\t%d of %d\n", h.Address, h.ID, h.Seen, c.Nodes*len(asking))
	}
	if v.Elsewhere != nil {
		fmt.Fprintf(w, "the worker at %s finds %s\n", v.Elsewhere.From, v.Elsewhere)
	}
	return w.Flush()
}

// ask adds what one fresh node finds. A higher seq makes those who hold a
// lower one no holders.
func (c *dhtVerifyCmd) ask(ctx context.Context, o *output, target [20]byte, v *verified, seen *sight) error {
	node, err := c.node(ctx, o)
	if err != nil {
		return err
	}
	defer node.Close()
	result, err := node.Get(ctx, target, nil, mainline.GetOptions{})
	if err != nil {
		return err
	}
	seen.own = cmp.Or(seen.own, run.SeenFrom(node))
	seen.around(ctx, node, result.Closest)
	if result.Item == nil || result.Item.Seq < v.Seq {
		return nil
	}
	if result.Item.Seq > v.Seq {
		v.Seq, v.Holders = result.Item.Seq, nil
		clear(seen.holders)
		clear(seen.found)
	}
	seen.found[seen.from] = true
	if relays, err := bep44.DecodeRelayList(result.Item.Value); err == nil {
		v.Relays = nil
		for _, url := range relays {
			v.Relays = append(v.Relays, printable(url))
		}
	}
	for _, contact := range result.Holders {
		at, known := seen.holders[contact]
		if !known {
			at = len(v.Holders)
			seen.holders[contact] = at
			v.Holders = append(v.Holders, holder{Address: contact.Addr.String(), ID: hex.EncodeToString(contact.ID[:])})
		}
		v.Holders[at].Seen++
		if v.Holders[at].last != seen.from+1 {
			v.Holders[at].last = seen.from + 1
			v.Holders[at].From++
		}
	}
	return nil
}
