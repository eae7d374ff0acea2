package run

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
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
	known := open[contract.Relay](&kv, contract.BucketRelays)
	relays := e.relays
	relays.proven = &proven{known: known}
	resolver, err := newResolver(e.Config, relays, node, e.Log)
	if err != nil {
		return err
	}
	defer resolver.Close()
	watchIndexes(e.Metrics, resolver)
	e.addFigures(func(w *contract.Worker) { w.Indexes = knownIndexes(resolver.Known(), time.Now()) })
	s := &dht.Stage{
		Authors: open[contract.Author](&kv, contract.BucketAuthors), Records: open[contract.Record](&kv, contract.BucketRecords),
		Relays: known, Links: open[contract.Link](&kv, contract.BucketLinks),
		Network: network{node: node}, Probe: relays.probe, Publish: b.Publish, Lists: newLists(resolver), Denied: e.deny.Lists(),
		Witness: witness(e.JS, node), From: func() string { return SeenFrom(node) },
		AllowPrivate: e.Config.AllowPrivate, RefreshEvery: e.Config.RefreshEvery, ResolveEvery: e.Config.ResolveEvery,
		Now: time.Now, Log: e.Log.With("stage", contract.StageDHTWorker),
	}
	if err := kv.opened(contract.StageDHTWorker); err != nil {
		return err
	}
	e.hasBound()
	b.Handle(consumer(contract.ConsumerPublish), s.HandlePublish)
	b.Handle(consumer(contract.ConsumerRefresh), s.HandleRefresh)
	b.Handle(consumer(contract.ConsumerResolve), s.HandleResolve)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Run(ctx) })
	group.Go(func() error { PurgeDenied(ctx, s.Denied, s.Log, s.Purge); return nil })
	group.Go(func() error {
		return Serve(ctx, e.JS, e.traces, e.droppedBy(contract.StageDHTWorker), contract.NameListResolve, events.ServiceListResolve,
			func(r events.ResolveRequest) int64 { return r.TimeoutMS }, s.Resolve)
	})
	return group.Wait()
}

// StartNode starts the DHT node that the configuration asks for; the caller
// closes it.
func StartNode(ctx context.Context, c config.Config, log *slog.Logger) (*mainline.Node, error) {
	node, err := mainline.Start(ctx, mainline.Config{
		Addr: c.DHT.Listen, Bootstrap: c.DHT.Bootstrap, ReadOnly: !c.DHT.Serve, AllowPrivate: c.AllowPrivate,
		NodesFile: c.DHT.NodesFile, Rate: c.DHT.Rate, PerAddress: c.DHT.PerNode, Log: log,
	})
	return node, PortError("--dht-listen", err)
}

// watch makes the node's health a part of the process's metrics and readiness.
func (e *Env) watch(node *mainline.Node) {
	watchNode(e.Metrics, node)
	e.addCheck("DHT", func() error {
		if node.Stats().GoodNodes == 0 {
			return errors.New("no DHT node answers: check the firewall (UDP) and --dht-bootstrap")
		}
		return nil
	})
}

// watchNode registers the metrics of a DHT node.
func watchNode(to prometheus.Registerer, node *mainline.Node) {
	counter := func(name, help string, value func(mainline.Stats) int64) {
		to.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(value(node.Stats())) }))
	}
	counter("relaymesh_dht_packets_sent_total", "UDP packets sent to DHT nodes.", func(s mainline.Stats) int64 { return s.Sent })
	counter("relaymesh_dht_packets_received_total", "UDP packets received from DHT nodes.", func(s mainline.Stats) int64 { return s.Received })
	counter("relaymesh_dht_packets_refused_total", "Packets that were no valid KRPC, or came from a forbidden address.",
		func(s mainline.Stats) int64 { return s.Refused })
	counter("relaymesh_dht_queries_total", "Queries for records.", func(s mainline.Stats) int64 { return s.Queries })
	counter("relaymesh_dht_answers_total", "Answers to them.", func(s mainline.Stats) int64 { return s.Answered })
	counter("relaymesh_dht_forged_total", "Records that did not verify.", func(s mainline.Stats) int64 { return s.Forged })
	gauge := func(name, help string, value func(mainline.Stats) int) {
		to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(value(node.Stats())) }))
	}
	gauge("relaymesh_dht_good_nodes", "Nodes that answered lately.", func(s mainline.Stats) int { return s.GoodNodes })
	gauge("relaymesh_dht_bans_suspected", "Nodes that answered once and were lately silent at least three times in a row.",
		func(s mainline.Stats) int { return s.BansSuspected })
}

// network fits a DHT node to the port of the dht stage.
type network struct {
	node *mainline.Node
	// early, if set, gets what a look-up finds while it goes on; see
	// mainline.GetOptions.
	early func(bep44.Item)
}

func (n network) Put(ctx context.Context, item bep44.Item, last []dht.Node, how dht.How) (dht.Found, error) {
	holders, renewed := how.Nodes()
	ctx, span := span(ctx, "dht put", attribute.String("dht.target", stage.TargetHex(item)), attribute.Int64("dht.seq", item.Seq),
		attribute.Int("dht.how", int(how)))
	result, err := n.put(ctx, item, contacts(last), holders, renewed)
	span.SetAttributes(attribute.Int("dht.holders", len(result.Holders)))
	bus.End(span, err)
	if err != nil && !errors.Is(err, mainline.ErrNotStored) {
		return dht.Found{}, err
	}
	had := len(result.Holders) - result.Stored
	return dht.Found{
		Had: nodes(result.Holders[:had]), Got: nodes(result.Holders[had:]), Closest: nodes(result.Closest),
		Newer: result.Superseded, Equivocal: result.Equivocal,
		SharedBits: n.node.SharedBits(ctx, item.Target(), result.Closest),
	}, nil
}

// put sends an item to those of the nearest nodes that lack it, and to the
// renewed nearest whether they lack it or not.
func (n network) put(ctx context.Context, item bep44.Item, last []mainline.Contact, holders, renewed int) (mainline.PutResult, error) {
	if renewed == holders {
		return n.node.Put(ctx, item, mainline.PutOptions{K: holders, Seeds: last, Renew: true})
	}
	result, err := n.node.Refresh(ctx, item, last)
	if err != nil || renewed == 0 || result.Superseded != nil {
		return result, err
	}
	nearest, err := n.node.Put(ctx, item, mainline.PutOptions{K: renewed, Seeds: result.Closest, Renew: true})
	result.Superseded = nearest.Superseded
	return result, err
}

func nodes(contacts []mainline.Contact) []dht.Node {
	list := make([]dht.Node, len(contacts))
	for i := range contacts {
		list[i] = dht.Node(mainline.AppendCompact(nil, contacts[i:i+1]))
	}
	return list
}

func contacts(nodes []dht.Node) (list []mainline.Contact) {
	for _, n := range nodes {
		one, _ := mainline.ParseCompact(n[:]) // fails by the length only
		list = append(list, one...)
	}
	return list
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

// ResolveOnce looks a list up with a DHT node that lives for this one question; at list indexes if the DHT has none.
// early, if not nil, gets the first list that is found and every newer one, as
// soon as they are there; what is returned is the answer of all nodes near the target.
func ResolveOnce(ctx context.Context, c config.Config, r events.ResolveRequest, log *slog.Logger,
	early func(events.ResolveResponse),
) (events.ResolveResponse, error) {
	node, err := StartNode(ctx, c, log)
	if err != nil {
		return events.ResolveResponse{}, err
	}
	defer node.Close()
	// The connections belong to this one question, too.
	at := newRelays(c, relay.Options{AllowPrivate: c.AllowPrivate, Log: log})
	resolver, err := newResolver(c, at, node, log)
	if err != nil {
		at.close()
		return events.ResolveResponse{}, err
	}
	defer resolver.Close()
	defer at.close()
	s := &dht.Stage{AllowPrivate: c.AllowPrivate, Lists: newLists(resolver)}
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
