package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// versionAbove is the time of signing of a list that takes the place of one whose
// newest time or seq is standing, 0 for none. Two lists of one second would be of one
// version, and only one of them can stand.
func versionAbove(standing, now int64) (int64, error) {
	version := max(now, standing+1)
	if version > now+nostr.MaxFuture {
		return 0, fmt.Errorf("a list of %s stands, which is ahead of the clock of this machine (%s): one that is to take its place would not be "+
			"accepted before %s; set the clock right, or wait", date(standing), date(now), date(version-nostr.MaxFuture))
	}
	return version, nil
}

func date(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

// onRelay is the newest time of the lists of a key at a relay, or their seq.
func onRelay(ctx context.Context, conn *relay.Conn, pubkey string) (newest int64, err error) {
	kinds := []int{nostr.KindDHTList, nostr.KindRelayList}
	for e, err := range conn.Query(ctx, nostr.Filter{Authors: []string{pubkey}, Kinds: kinds}) {
		if err != nil {
			return 0, fmt.Errorf("couldn't read the lists that stand at the relay: %w", err)
		}
		newest = max(newest, e.CreatedAt)
		if signed, err := hex.DecodeString(e.Content); err == nil && e.Kind == nostr.KindDHTList {
			if item, err := bep44.ParseSignedBuffer(signed); err == nil {
				newest = max(newest, item.Seq)
			}
		}
	}
	return newest, nil
}

// inPipeline is the same of what a pipeline knows; target is that of the key's own record.
func inPipeline(ctx context.Context, js jetstream.JetStream, pubkey, target string, log *slog.Logger) (newest int64, err error) {
	authors, err := run.OpenStore[contract.Author](ctx, js, contract.BucketAuthors, log)
	if err != nil {
		return 0, err
	}
	author, _, err := authors.Get(ctx, pubkey)
	if err != nil {
		return 0, err
	}
	records, err := run.OpenStore[contract.Record](ctx, js, contract.BucketRecords, log)
	if err != nil {
		return 0, err
	}
	record, _, err := records.Get(ctx, contract.RecordKey(target))
	return max(author.Lists[contract.ViaNIP65].Version, record.Seq), err
}
