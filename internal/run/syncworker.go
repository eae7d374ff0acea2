package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// observeSyncs returns what counts syncs in the process's metrics, and tells of
// them in traces.
func (e *Env) observeSyncs() func(context.Context, events.SyncFinished, time.Duration) {
	metrics := promauto.With(e.Metrics)
	syncs := metrics.NewCounterVec(prometheus.CounterOpts{Name: "relaymesh_syncs_total", Help: "Syncs with relays by outcome."},
		[]string{"outcome"})
	seconds := metrics.NewHistogram(prometheus.HistogramOpts{
		Name: "relaymesh_sync_duration_seconds", Help: "How long syncs take.",
		Buckets: prometheus.ExponentialBuckets(0.05, 4, 9),
	})
	found := metrics.NewCounterVec(prometheus.CounterOpts{
		Name: "relaymesh_sync_events_total", Help: "Events that syncs found missing, by what became of them.",
	}, []string{"outcome"})
	answers := metrics.NewHistogram(prometheus.HistogramOpts{
		Name: "relaymesh_relay_latency_seconds", Help: "The quickest answer of a relay in each sync.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 14),
	})
	return func(ctx context.Context, r events.SyncFinished, latency time.Duration) {
		traceSync(ctx, r)
		outcome := "failed"
		if r.OK {
			outcome = "ok"
		}
		syncs.WithLabelValues(outcome).Inc()
		seconds.Observe(float64(r.Millis) / 1000)
		for outcome, n := range map[string]int{"stored": r.Stored, "refused": r.Refused, "invalid": r.Invalid} {
			found.WithLabelValues(outcome).Add(float64(n))
		}
		if latency > 0 {
			answers.Observe(latency.Seconds())
		}
	}
}

// observeLive returns what counts the events that arrive live.
func (e *Env) observeLive() func(reconcile.Reply) {
	events := promauto.With(e.Metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "relaymesh_live_events_total", Help: "Events that arrived live and were offered to the local relay.",
	}, []string{"outcome"})
	return func(reply reconcile.Reply) {
		outcome := "stored"
		if !reply.Kept() {
			outcome = "refused"
		}
		events.WithLabelValues(outcome).Inc()
	}
}

// Relays are those that a syncing stage talks to; known are the documents of
// some. node reaches them by libp2p, too, and is nil where that is not linked; the
// caller closes it.
func (e *Env) Relays(known stage.Store[contract.Relay]) (_ reconcile.Relays, node Libp2p, err error) {
	r := e.relays
	r.proven = &proven{known: known}
	if e.libp2p != nil {
		r.known = known
		r.libp2p, err = e.libp2p(e.Config.P2P, e.Config.AllowPrivate, r.options.Budget, e.Log)
	}
	return r, r.libp2p, err
}

// Respond answers peers that sync with the local relay, over connections of
// their own: whoever is answered does not disturb the stages, and is shown what
// strangers are. What they bring is written as by the stages.
func (e *Env) Respond(s *syncing.Stage) func(peer string) (*reconcile.Responder, func(), error) {
	options := e.relays.options
	options.Log = nil // that the local relay is away is told by the stages
	return func(peer string) (*reconcile.Responder, func(), error) {
		c := e.Config
		c.RelayToken = ""
		strangers := options
		strangers.Auth = nil
		reading, writing := newRelays(c, strangers), newRelays(c, options)
		shut := func() { reading.close(); writing.close() }
		from, err := reading.At(context.Background(), e.Config.Relay)
		to, alike := writing.At(context.Background(), e.Config.Relay)
		if err = errors.Join(err, alike); err != nil {
			shut()
			return nil, nil, err
		}
		home := reconcile.Through(func(ctx context.Context, q *reconcile.Request, ask reconcile.Ask) error {
			if q.Op == reconcile.OpPublish {
				return ask(ctx, to)
			}
			return ask(ctx, from)
		})
		return s.Respond(home, peer), shut, nil
	}
}

// SyncWorker runs the third stage until ctx ends.
func SyncWorker(ctx context.Context, e *Env) error {
	if err := needRelay(e.Config, contract.StageSyncWorker); err != nil {
		return err
	}
	kv := buckets{ctx: ctx, env: e}
	b, err := e.bus(contract.StageSyncWorker)
	if err != nil {
		return err
	}
	refused, err := OpenStore[contract.Refused](ctx, e.JS, contract.BucketRefused, e.Log)
	if err != nil {
		return err
	}
	links, err := OpenStore[contract.Link](ctx, e.JS, contract.BucketLinks, e.Log)
	if err != nil {
		return err
	}
	streams, err := config.OpenStreams(e.Config.File, e.Config.AllowPrivate, e.Log.With("stage", contract.StageSyncWorker))
	if err != nil {
		return err
	}
	known := open[contract.Relay](&kv, contract.BucketRelays)
	net, node, err := e.Relays(known)
	if err != nil {
		return err
	}
	if node != nil {
		defer node.Close()
	}
	authors := open[contract.Author](&kv, contract.BucketAuthors)
	rules := rules{streams, e.Config.Sync}
	s := &syncing.Stage{
		Rules: rules.of, Denied: e.deny.Lists(), Followed: followed(e.relays.home, e.Config.Relay, authors),
		Refused: refused, Deleted: relay.NewLocal(e.relays.home, e.Config.Relay, e.Config.PublicURLs...).Deleted,
		Relays: known, Links: links, Syncs: open[contract.Sync](&kv, contract.BucketSyncs), Net: net,
		Relinked: func(ctx context.Context, f func(key string)) error { return links.Comings(ctx, ">", f) },
		Local:    e.Config.Relay, Public: e.Config.PublicURLs, Publish: b.Publish, SyncEvery: e.Config.SyncEvery,
		Now: time.Now, Log: e.Log.With("stage", contract.StageSyncWorker), Observe: e.observeSyncs(),
		MaxLive: e.Config.Sync.Live, Stopping: ctx.Done(), Arrived: e.observeLive(), Authors: authors,
		Survey: syncing.Survey{
			Surveys: open[contract.Survey](&kv, contract.BucketSurveys), On: e.surveys(), DayBytes: e.Config.Sync.SurveyMiB << 20,
			Observe: e.observeSurvey(), Seeds: e.Config.Sync.Seeds, AllowPrivate: e.Config.AllowPrivate, Named: e.named(),
			Only: e.Config.Only,
		},
	}
	kv.failing = append(kv.failing, refused.Failing)
	if err := kv.opened(contract.StageSyncWorker); err != nil {
		return err
	}
	if at := e.Config.P2P.Listen; at != "" && node != nil {
		if err := node.Serve(at, e.Respond(s)); err != nil {
			return fmt.Errorf("--p2p-listen: %w", err)
		}
	}
	e.addFigures(func(w *contract.Worker) {
		w.Syncs, w.Passes = s.Running()
		w.Syncs, w.Passes = w.Syncs[:min(len(w.Syncs), contract.MaxRunning)], w.Passes[:min(len(w.Passes), contract.MaxRunning)]
	})
	e.hasBound()
	b.Handle(consumer(contract.ConsumerDiscovered), s.HandleDiscovered)
	b.Handle(consumer(contract.ConsumerSync), s.HandleDue)
	b.Handle(consumer(contract.ConsumerLive), s.HandleLive)
	b.Handle(consumer(contract.ConsumerSurvey), s.HandleSurvey)
	promauto.With(e.Metrics).NewGaugeFunc(
		prometheus.GaugeOpts{Name: "relaymesh_live_subscriptions", Help: "Live subscriptions that this process holds."},
		func() float64 { return float64(s.Live()) },
	)
	e.relays.world.OnBack(func(url string) {
		if err := s.Back(ctx, url); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "a relay that is back waits for its next scheduled sync", "relay", url, "err", err)
		}
	})
	announce := func(ctx context.Context) error {
		urls, cause := rules.named()
		e.relays.world.Want("streams", urls...)
		return s.Announce(ctx, urls, cause)
	}
	if err := announce(ctx); err != nil {
		return err
	}
	if err := s.StartSurvey(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Run(ctx) })
	group.Go(func() error { return rules.Watch(ctx, announce) })
	if s.MaxLive > 0 {
		group.Go(func() error { s.WatchLinks(ctx); return nil })
	}
	return group.Wait()
}
