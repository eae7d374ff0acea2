package run

import (
	"context"
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
	authors, err := bucket[events.Author](ctx, e, events.BucketAuthors)
	if err != nil {
		return err
	}
	records, err := bucket[events.Record](ctx, e, events.BucketRecords)
	if err != nil {
		return err
	}
	links, err := bucket[events.Link](ctx, e, events.BucketLinks)
	if err != nil {
		return err
	}
	cursors, err := bucket[events.Cursor](ctx, e, events.BucketCursors)
	if err != nil {
		return err
	}
	b, err := e.bus(events.StageIngest)
	if err != nil {
		return err
	}
	s := &ingest.Stage{
		Authors: authors, Records: records, Links: links,
		Missing: func(context.Context, []events.NoteMissing) ([]events.NoteMissing, error) { return nil, nil },
		Verify:  schnorr.Verify, VerifyList: schnorr.VerifyRelayList,
		AllowPrivate: e.Config.AllowPrivate, Now: time.Now,
	}
	tails := e.Config.Tail
	if e.Config.Relay != "" {
		s.Missing = missing(relay.NewLocal(e.Pool, e.Config.Relay))
		tails = append([]string{e.Config.Relay}, tails...)
	}
	b.Handle(consumer(events.ConsumerIngest), s.Handle)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Run(ctx) })
	for _, url := range tails {
		t := &ingest.Tail{URL: url, Cursors: cursors, Follow: e.Pool.Tail, Publish: b.Publish, Now: time.Now}
		group.Go(func() error {
			again(ctx, e.Log.With("relay", url), t.Run)
			return nil
		})
	}
	return group.Wait()
}

// missing asks the local relay for ids and addresses at once.
func missing(local *relay.Local) func(context.Context, []events.NoteMissing) ([]events.NoteMissing, error) {
	return func(ctx context.Context, refs []events.NoteMissing) ([]events.NoteMissing, error) {
		keys := make([]string, len(refs))
		for i, ref := range refs {
			if keys[i] = ref.EventID; ref.EventID == "" {
				keys[i] = ref.Address
			}
		}
		lacking, err := local.Missing(ctx, keys)
		if err != nil {
			return nil, err
		}
		want := make(map[string]bool, len(lacking))
		for _, key := range lacking {
			want[key] = true
		}
		var out []events.NoteMissing
		for i, ref := range refs {
			if want[keys[i]] {
				out = append(out, ref)
			}
		}
		return out, nil
	}
}
