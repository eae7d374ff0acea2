package run

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/stage/fetch"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// Fetcher runs the fourth stage until ctx ends.
func Fetcher(ctx context.Context, e *Env) error {
	if err := needRelay(e.Config, events.StageFetcher); err != nil {
		return err
	}
	kv := buckets{ctx: ctx, env: e}
	b, err := e.bus(events.StageFetcher)
	if err != nil {
		return err
	}
	s := &fetch.Stage{
		Authors: open[events.Author](&kv, events.BucketAuthors), Links: open[events.Link](&kv, events.BucketLinks),
		Lost: open[events.Lost](&kv, events.BucketLost), Net: e.relays,
		Resolve: func(ctx context.Context, r events.ResolveRequest) (events.ResolveResponse, error) {
			ctx, cancel := context.WithTimeout(ctx, maxWait)
			defer cancel()
			r.TimeoutMS = maxWait.Milliseconds()
			return Request[events.ResolveResponse](ctx, e.JS.Conn(), events.ServiceListResolve, r)
		},
		Local: e.Config.Relay, AllowPrivate: e.Config.AllowPrivate,
		LostFor: e.Config.Fetch.LostFor, ThreadDepth: e.Config.Fetch.ThreadDepth, ThreadCount: e.Config.Fetch.ThreadCount,
		Now: time.Now, Log: e.Log.With("stage", events.StageFetcher),
	}
	if kv.err != nil {
		return kv.err
	}
	defer s.Close()
	b.Handle(consumer(events.ConsumerFetch), s.Handle)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Run(ctx) })
	group.Go(func() error { return e.fetchDAGs(ctx, s.Authors) })
	group.Go(func() error {
		return serve(ctx, e.JS.Conn(), e.traces, events.NameNoteFetch, events.ServiceNoteFetch,
			func(r events.MissingNoteRequest) int64 { return r.TimeoutMS }, s.Answer)
	})
	return group.Wait()
}
