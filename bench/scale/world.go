//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	farRelays = 32
	dhtNodes  = 32
)

// world is what the stages talk to: a DHT, the local relay, and relays where authors
// write. Of each author a relay has two notes.
type world struct {
	dht   *dhtnet.Network
	local *khatrutest.Relay
	far   []*khatrutest.Relay
	// said is what each author has published at the local relay: a list for the DHT, and
	// an event that refers to one of the notes.
	said [][]nostr.Event
}

// newWorld starts a world. After an error the benchmark ends, and what was started with it.
func newWorld(ctx context.Context, authors int) (w *world, err error) {
	w = &world{}
	if w.dht, err = dhtnet.Start(ctx, dhtNodes); err != nil {
		return w, err
	}
	log := slog.New(slog.DiscardHandler)
	if w.local, err = khatrutest.Start(ctx, log); err != nil {
		return w, err
	}
	for i := range farRelays {
		// Addresses have budgets, each of its own.
		r, err := khatrutest.StartWith(ctx, khatrutest.Config{Addr: fmt.Sprintf("127.0.6.%d:0", i+1), Log: log})
		if err != nil {
			return w, err
		}
		w.far = append(w.far, r)
	}
	for i := range authors {
		key, err := schnorr.NewSecret()
		if err != nil {
			return w, err
		}
		at := i % farRelays
		list, err := run.SignList(key, []string{w.far[at].URL()}, time.Now().Unix())
		if err != nil {
			return w, err
		}
		var signed [3]nostr.Event // two notes, and what refers to the first
		for j := range signed {
			e := nostr.Event{Kind: 1, CreatedAt: time.Now().Unix(), Content: fmt.Sprint("note ", j), Tags: []nostr.Tag{}}
			if j == 2 {
				e.Tags = append(e.Tags, nostr.Tag{"e", signed[0].ID, w.far[at].URL()})
			}
			if err := key.SignEvent(&e); err != nil {
				return w, err
			}
			signed[j] = e
		}
		if err := errors.Join(w.far[at].Add(ctx, signed[0]), w.far[at].Add(ctx, signed[1])); err != nil {
			return w, err
		}
		w.said = append(w.said, []nostr.Event{list.DHT, signed[2]})
	}
	return w, nil
}

// flags are how a stage reaches the world.
func (w *world) flags(stage string) []string {
	switch stage {
	case contract.StageDHTWorker:
		return []string{
			"--allow-private", "--dht-listen", "127.0.0.1:0", "--dht-bootstrap", strings.Join(w.dht.Bootstrap(), ","), "--dht-rate=-1",
			"--dht-per-node=-1",
		}
	case contract.StageSyncWorker:
		return []string{"--allow-private", "--relay", w.local.URL(), "--live", "0"}
	}
	return []string{"--allow-private", "--relay", w.local.URL()}
}

func (w *world) close() error {
	var errs []error
	for _, r := range w.far {
		errs = append(errs, r.Close())
	}
	for _, part := range []io.Closer{w.local, w.dht} {
		errs = append(errs, part.Close())
	}
	return errors.Join(errs...)
}
