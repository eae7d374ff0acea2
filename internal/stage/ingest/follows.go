package ingest

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// reloadEvery is how old the follow lists that we go by may be.
	reloadEvery = 15 * time.Minute
	// maxWebOfTrust bounds the authors of a web of trust; they take 30 MiB.
	maxWebOfTrust = 250_000
	// listsPerREQ is how many authors one filter names.
	listsPerREQ = 250

	kindFollows = 3 // NIP-02
)

// WebOfTrust is the set of authors that the relay cares for: those the operator
// names, and those that can be reached from some of them along their follow
// lists. All exported fields are set before a method is called.
type WebOfTrust struct {
	// Authors belong to it themselves, Seeds with those they follow, up to Depth
	// steps away: public keys in hex.
	Authors, Seeds []string
	Depth          int
	// Query yields what the local relay has stored.
	Query func(ctx context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error]
	Log   *slog.Logger

	members atomic.Pointer[map[string]bool]
}

// Has reports whether an author belongs to it. It must have been awaited.
func (w *WebOfTrust) Has(pubkey string) bool { return (*w.members.Load())[pubkey] }

// load reads the follow lists, from the seeds outwards.
func (w *WebOfTrust) load(ctx context.Context) error {
	members := make(map[string]bool, len(w.Authors)+len(w.Seeds))
	for _, pubkey := range slices.Concat(w.Authors, w.Seeds) {
		members[pubkey] = true
	}
	ring := w.Seeds
	for range w.Depth {
		var next []string
		for chunk := range slices.Chunk(ring, listsPerREQ) {
			for e, err := range w.Query(ctx, nostr.Filter{Kinds: []int{kindFollows}, Authors: chunk, Limit: len(chunk)}) {
				if err != nil {
					return fmt.Errorf("read follow lists: %w", err)
				}
				for _, t := range e.Tags {
					if pubkey := t.At(1); t[0] == "p" && nostr.IsHex(pubkey, 32) && !members[pubkey] && len(members) < maxWebOfTrust {
						members[pubkey] = true
						next = append(next, pubkey)
					}
				}
			}
		}
		ring = next
	}
	if len(members) >= maxWebOfTrust {
		w.Log.WarnContext(ctx, "the web of trust is cut short, lower --follow-depth", "authors", len(members))
	}
	w.members.Store(&members)
	return nil
}

// Await reads the follow lists for the first time, and tries until ctx ends,
// which is its only error.
func (w *WebOfTrust) Await(ctx context.Context) error {
	for {
		err := w.load(ctx)
		if err == nil {
			w.Log.InfoContext(ctx, "only events of the web of trust are processed", "authors", len(*w.members.Load()))
			return nil
		}
		w.Log.WarnContext(ctx, "ingest waits for the follow lists", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Second):
		}
	}
}

// Refresh reads the follow lists again every 15 minutes until ctx ends. While
// they cannot be read, the last ones hold.
func (w *WebOfTrust) Refresh(ctx context.Context) {
	if len(w.Seeds) == 0 {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(reloadEvery):
		}
		if err := w.load(ctx); err != nil && ctx.Err() == nil {
			w.Log.WarnContext(ctx, "could not read the follow lists again, going by the last ones", "err", err)
		}
	}
}
