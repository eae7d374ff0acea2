package run

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/stage/ingest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// Ingest runs the first stage until ctx ends: the intake stream, and a tail of
// the relay and of each --tail.
func Ingest(ctx context.Context, e *Env) error {
	kv := buckets{ctx: ctx, env: e}
	cursors := open[events.Cursor](&kv, events.BucketCursors)
	b, err := e.bus(events.StageIngest)
	if err != nil {
		return err
	}
	s := &ingest.Stage{
		Authors: open[events.Author](&kv, events.BucketAuthors), Records: open[events.Record](&kv, events.BucketRecords), Links: open[events.Link](&kv, events.BucketLinks),
		Missing: func(context.Context, []events.NoteMissing) ([]events.NoteMissing, error) { return nil, nil },
		Verify:  schnorr.Verify, VerifyList: schnorr.VerifyRelayList,
		AllowPrivate: e.Config.AllowPrivate, Now: time.Now,
	}
	tails := e.Config.Tail
	if e.Config.Relay != "" {
		s.Missing = missing(relay.NewLocal(e.relays.home, e.Config.Relay))
		tails = append([]string{e.Config.Relay}, tails...)
	}
	if kv.err != nil {
		return kv.err
	}
	b.Handle(consumer(events.ConsumerIngest), s.Handle)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Run(ctx) })
	for _, url := range tails {
		t := &ingest.Tail{URL: url, Cursors: cursors, Follow: e.relays.follow(url), Publish: b.Publish}
		group.Go(func() error {
			again(ctx, e.Log.With("relay", url), t.Run)
			return nil
		})
	}
	return group.Wait()
}

// missing asks the local relay which of the references it lacks. It gathers
// what many callers ask for.
func missing(local *relay.Local) func(context.Context, []events.NoteMissing) ([]events.NoteMissing, error) {
	return func(ctx context.Context, refs []events.NoteMissing) ([]events.NoteMissing, error) {
		var ids, addresses []string
		for _, ref := range refs {
			if ref.EventID != "" {
				ids = append(ids, ref.EventID)
			} else {
				addresses = append(addresses, ref.Address)
			}
		}
		lacking, err := local.Missing(ctx, ids)
		if err != nil {
			return nil, err
		}
		more, err := local.MissingAddresses(ctx, addresses)
		if err != nil {
			return nil, err
		}
		lacking = append(lacking, more...)
		return slices.DeleteFunc(slices.Clone(refs), func(ref events.NoteMissing) bool {
			return !slices.Contains(lacking, ref.EventID) && !slices.Contains(lacking, ref.Address)
		}), nil
	}
}
