package run

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// DHTWorker runs the second stage until ctx ends, with a DHT node of its own.
func DHTWorker(ctx context.Context, e *Env) error {
	kv := buckets{ctx: ctx, env: e}
	b, err := e.bus(contract.StageDHTWorker)
	if err != nil {
		return err
	}
	node, err := StartNode(ctx, e.Config, e.Log)
	if err != nil {
		return err
	}
	defer node.Close()
	e.watch(node)
	s := &dht.Stage{
		Authors: open[contract.Author](&kv, contract.BucketAuthors), Records: open[contract.Record](&kv, contract.BucketRecords), Relays: open[contract.Relay](&kv, contract.BucketRelays), Links: open[contract.Link](&kv, contract.BucketLinks),
		Network: network{node: node}, Probe: e.relays.probe, Publish: b.Publish,
		AllowPrivate: e.Config.AllowPrivate, RefreshEvery: e.Config.RefreshEvery, ResolveEvery: e.Config.ResolveEvery,
		Now: time.Now, Log: e.Log.With("stage", contract.StageDHTWorker),
	}
	if kv.err != nil {
		return kv.err
	}
	b.Handle(consumer(contract.ConsumerPublish), s.HandlePublish)
	b.Handle(consumer(contract.ConsumerRefresh), s.HandleRefresh)
	b.Handle(consumer(contract.ConsumerResolve), s.HandleResolve)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Run(ctx) })
	group.Go(func() error {
		return serve(ctx, e.JS.Conn(), e.traces, contract.NameListResolve, events.ServiceListResolve,
			func(r events.ResolveRequest) int64 { return r.TimeoutMS }, s.Resolve)
	})
	return group.Wait()
}

// StartNode starts the DHT node that the configuration asks for; the caller
// closes it.
func StartNode(ctx context.Context, c config.Config, log *slog.Logger) (*mainline.Node, error) {
	return mainline.Start(ctx, mainline.Config{
		Addr: c.DHT.Listen, Bootstrap: c.DHT.Bootstrap, ReadOnly: !c.DHT.Serve, AllowPrivate: c.AllowPrivate,
		NodesFile: c.DHT.NodesFile, Rate: c.DHT.Rate, PerAddress: c.DHT.PerNode, Log: log,
	})
}

// watch makes the node's health a part of the process's metrics and readiness.
func (e *Env) watch(node *mainline.Node) {
	counter := func(name, help string, value func(mainline.Stats) int64) {
		e.Metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(value(node.Stats())) }))
	}
	counter("relaymesh_dht_packets_sent_total", "UDP packets sent to DHT nodes.", func(s mainline.Stats) int64 { return s.Sent })
	counter("relaymesh_dht_packets_received_total", "UDP packets received from DHT nodes.", func(s mainline.Stats) int64 { return s.Received })
	counter("relaymesh_dht_packets_refused_total", "Packets that were no valid KRPC, or came from a forbidden address.", func(s mainline.Stats) int64 { return s.Refused })
	counter("relaymesh_dht_queries_total", "Queries for records.", func(s mainline.Stats) int64 { return s.Queries })
	counter("relaymesh_dht_answers_total", "Answers to them.", func(s mainline.Stats) int64 { return s.Answered })
	counter("relaymesh_dht_forged_total", "Records that did not verify.", func(s mainline.Stats) int64 { return s.Forged })
	gauge := func(name, help string, value func(mainline.Stats) int) {
		e.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(value(node.Stats())) }))
	}
	gauge("relaymesh_dht_good_nodes", "Nodes that answered lately.", func(s mainline.Stats) int { return s.GoodNodes })
	gauge("relaymesh_dht_bans_suspected", "Nodes that answered once and were lately silent at least three times in a row.", func(s mainline.Stats) int { return s.BansSuspected })
	e.addCheck("DHT", func() error {
		if node.Stats().GoodNodes == 0 {
			return errors.New("no DHT node answers: check the firewall (UDP) and --dht-bootstrap")
		}
		return nil
	})
}

// network fits a DHT node to the port of the dht stage.
type network struct {
	node *mainline.Node
	// early, if set, gets what a look-up finds while it goes on; see
	// mainline.GetOptions.
	early func(bep44.Item)
}

const (
	freshK    = 16 // nodes that a new item is put on
	keptK     = 8  // nodes that it is kept on; mainline's default
	renewedK  = 4  // nodes that dht.Half renews
	nodesKept = 12 // nodes that are remembered of each item
)

func (n network) Put(ctx context.Context, item bep44.Item, nodes []byte, held int, how dht.How) (dht.Placement, error) {
	last, err := mainline.ParseCompact(nodes)
	if err != nil { // what cannot be read is as good as none
		last = nil
	}
	ctx, span := span(ctx, "dht put", attribute.String("dht.target", stage.TargetHex(item)), attribute.Int64("dht.seq", item.Seq), attribute.Int("dht.how", int(how)))
	result, err := n.put(ctx, item, last, how)
	span.SetAttributes(attribute.Int("dht.holders", len(result.Holders)))
	bus.End(span, err)
	if err != nil && !errors.Is(err, mainline.ErrNotStored) {
		return dht.Placement{}, err
	}
	before := last[:min(held, len(last))]
	if how == dht.Half { // the nearest are sent it every time
		before = before[min(renewedK, len(before)):]
	}
	return placement(result, before), nil
}

func (n network) put(ctx context.Context, item bep44.Item, last []mainline.Contact, how dht.How) (mainline.PutResult, error) {
	switch how {
	case dht.Fresh:
		return n.node.Put(ctx, item, mainline.PutOptions{K: freshK, Seeds: last, Renew: true})
	case dht.Renew:
		return n.node.Put(ctx, item, mainline.PutOptions{K: keptK, Seeds: last, Renew: true})
	}
	result, err := n.node.Refresh(ctx, item, last)
	if err != nil || how == dht.Look || result.Superseded != nil {
		return result, err
	}
	nearest, err := n.node.Put(ctx, item, mainline.PutOptions{K: renewedK, Seeds: result.Closest, Renew: true})
	result.Superseded = nearest.Superseded
	return result, err
}

// placement is a put's result as the stage keeps it: of the nearest nodes the
// holders first. before are the holders after the put before.
func placement(result mainline.PutResult, before []mainline.Contact) dht.Placement {
	var holders, others []mainline.Contact
	for _, c := range result.Closest {
		if slices.Contains(result.Holders, c) {
			holders = append(holders, c)
		} else {
			others = append(others, c)
		}
	}
	nodes := slices.Concat(holders, others)
	nodes = nodes[:min(nodesKept, len(nodes))]
	p := dht.Placement{
		Holders: len(result.Holders), Nodes: mainline.AppendCompact(nil, nodes), Held: min(len(holders), len(nodes)),
		Newer: result.Superseded, Equivocal: result.Equivocal,
	}
	had := result.Holders[:len(result.Holders)-result.Stored] // by this put
	asked := result.Closest[:min(keptK, len(result.Closest))]
	for _, c := range before {
		switch {
		case slices.Contains(had, c):
			p.Kept++
		case slices.Contains(asked, c):
			p.Forgot++
		}
	}
	return p
}

func (n network) Get(ctx context.Context, key [32]byte, salt []byte) (bep44.Item, int, bool, error) {
	target := bep44.Target(key, salt)
	ctx, span := span(ctx, "dht get", attribute.String("dht.target", hex.EncodeToString(target[:])))
	result, err := n.node.Get(ctx, target, salt, mainline.GetOptions{OnItem: n.early})
	span.SetAttributes(attribute.Int("dht.holders", len(result.Holders)))
	bus.End(span, err)
	if err != nil || result.Item == nil {
		return bep44.Item{}, 0, false, err
	}
	if result.Item.Key != key {
		return bep44.Item{}, 0, false, errors.New("the DHT gave an item of the key " + hex.EncodeToString(result.Item.Key[:]))
	}
	return *result.Item, len(result.Holders), true, nil
}

// ResolveOnce looks a list up with a DHT node that lives for this one question.
// early, if not nil, gets the first list that is found and every newer one, as
// soon as they are there; what is returned is the answer of all nodes near the target.
func ResolveOnce(ctx context.Context, c config.Config, r events.ResolveRequest, log *slog.Logger, early func(events.ResolveResponse)) (events.ResolveResponse, error) {
	node, err := StartNode(ctx, c, log)
	if err != nil {
		return events.ResolveResponse{}, err
	}
	defer node.Close()
	s := &dht.Stage{AllowPrivate: c.AllowPrivate}
	lookUp := network{node: node}
	if early != nil {
		lookUp.early = func(item bep44.Item) {
			if answer := s.Answer(item, 1); answer.Found {
				answer.PubKey = r.PubKey
				early(answer)
			}
		}
	}
	s.Network = lookUp
	return s.Resolve(ctx, r)
}
