package run

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/stage/fetch"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// Fetcher runs the fourth stage until ctx ends.
func Fetcher(ctx context.Context, e *Env) error {
	if err := needRelay(e.Config, contract.StageFetcher); err != nil {
		return err
	}
	kv := buckets{ctx: ctx, env: e}
	b, err := e.bus(contract.StageFetcher)
	if err != nil {
		return err
	}
	found := e.relays
	found.writes = true
	found.proven = &proven{known: open[contract.Relay](&kv, contract.BucketRelays)}
	s := &fetch.Stage{
		Authors: open[contract.Author](&kv, contract.BucketAuthors), Links: open[contract.Link](&kv, contract.BucketLinks),
		Lost: open[contract.Lost](&kv, contract.BucketLost), Net: found, Proven: found.proven.is,
		Deleted: relay.NewLocal(e.relays.home, e.Config.Relay, e.Config.PublicURLs...).Deleted, Denied: e.deny.Lists(),
		Resolve: func(ctx context.Context, r events.ResolveRequest) (events.ResolveResponse, error) {
			ctx, cancel := context.WithTimeout(ctx, maxWait)
			defer cancel()
			r.TimeoutMS = maxWait.Milliseconds()
			return Request[events.ResolveResponse](ctx, e.JS, events.ServiceListResolve, r)
		},
		Local: e.Config.Relay, AllowPrivate: e.Config.AllowPrivate,
		LostFor: e.Config.Fetch.LostFor, ThreadDepth: e.Config.Fetch.ThreadDepth, ThreadCount: e.Config.Fetch.ThreadCount,
		Now: time.Now, Log: e.Log.With("stage", contract.StageFetcher),
	}
	if err := kv.opened(contract.StageFetcher); err != nil {
		return err
	}
	e.hasBound()
	defer s.Close()
	b.Handle(consumer(contract.ConsumerFetch), s.Handle)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Run(ctx) })
	group.Go(func() error { return e.fetchDAGs(ctx, s.Authors) })
	group.Go(func() error {
		return Serve(ctx, e.JS, e.traces, e.droppedBy(contract.StageFetcher), contract.NameNoteFetch, events.ServiceNoteFetch,
			func(r events.MissingNoteRequest) int64 { return r.TimeoutMS }, s.Answer)
	})
	return group.Wait()
}
