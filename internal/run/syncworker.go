package run

import (
	"context"
	"time"

	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// SyncWorker runs the third stage until ctx ends.
func SyncWorker(ctx context.Context, e *Env) error {
	if err := needRelay(e.Config, events.StageSyncWorker); err != nil {
		return err
	}
	known, err := bucket[events.Relay](ctx, e, events.BucketRelays)
	if err != nil {
		return err
	}
	links, err := bucket[events.Link](ctx, e, events.BucketLinks)
	if err != nil {
		return err
	}
	syncs, err := bucket[events.Sync](ctx, e, events.BucketSyncs)
	if err != nil {
		return err
	}
	b, err := e.bus(events.StageSyncWorker)
	if err != nil {
		return err
	}
	s := &syncing.Stage{
		Relays: known, Links: links, Syncs: syncs, Net: e.relays,
		Local: e.Config.Relay, Publish: b.Publish, SyncEvery: e.Config.SyncEvery,
		Now: time.Now, Log: e.Log.With("stage", events.StageSyncWorker),
	}
	b.Handle(consumer(events.ConsumerDiscovered), s.HandleDiscovered)
	b.Handle(consumer(events.ConsumerSync), s.HandleDue)
	return b.Run(ctx)
}
