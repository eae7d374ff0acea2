package run

import (
	"context"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// SyncWorker runs the third stage until ctx ends.
func SyncWorker(ctx context.Context, e *Env) error {
	if err := needRelay(e.Config, events.StageSyncWorker); err != nil {
		return err
	}
	kv := buckets{ctx: ctx, env: e}
	b, err := e.bus(events.StageSyncWorker)
	if err != nil {
		return err
	}
	refused, err := OpenStore[events.Refused](ctx, e.JS, events.BucketRefused, e.Log)
	if err != nil {
		return err
	}
	s := &syncing.Stage{
		Refused: refused, Gone: relay.NewLocal(e.relays.home, e.Config.Relay).Gone,
		Relays: open[events.Relay](&kv, events.BucketRelays), Links: open[events.Link](&kv, events.BucketLinks), Syncs: open[events.Sync](&kv, events.BucketSyncs), Net: sides{e.relays},
		Local: e.Config.Relay, Publish: b.Publish, SyncEvery: e.Config.SyncEvery,
		Now: time.Now, Log: e.Log.With("stage", events.StageSyncWorker),
	}
	if kv.err != nil {
		return kv.err
	}
	b.Handle(consumer(events.ConsumerDiscovered), s.HandleDiscovered)
	b.Handle(consumer(events.ConsumerSync), s.HandleDue)
	return b.Run(ctx)
}
