package run

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// reloadEvery is how old the follow lists that we go by may be.
	reloadEvery = 15 * time.Minute
	// maxWebOfTrust bounds the authors of a circle; they take 30 MiB.
	maxWebOfTrust = 250_000
	// listsPerREQ is how many authors one filter names.
	listsPerREQ = 250

	kindFollows = 3 // NIP-02
)

// webOfTrust is the set of authors that the relay cares for: those the operator
// names, and those that can be reached from some of them along their follow
// lists.
type webOfTrust struct {
	authors, seeds []string
	depth          int
	query          func(ctx context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error]
	log            *slog.Logger

	members atomic.Pointer[map[string]bool]
}

// newWebOfTrust returns nil if the relay cares for everyone.
func newWebOfTrust(p config.Policy, query func(context.Context, ...nostr.Filter) iter.Seq2[nostr.Event, error], log *slog.Logger) (*webOfTrust, error) {
	if len(p.Authors)+len(p.Follows) == 0 {
		return nil, nil //nolint:nilnil // as said above
	}
	c := &webOfTrust{depth: p.FollowDepth, query: query, log: log}
	for flag, list := range map[string][]string{"--authors": p.Authors, "--follows": p.Follows} {
		for _, text := range list {
			pubkey, err := schnorr.ParsePublicKey(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", flag, err)
			}
			c.authors = append(c.authors, pubkey)
			if flag == "--follows" {
				c.seeds = append(c.seeds, pubkey)
			}
		}
	}
	return c, nil
}

// has reports whether an author belongs to the circle; it must have been loaded.
func (c *webOfTrust) has(pubkey string) bool { return (*c.members.Load())[pubkey] }

// load reads the follow lists, from the seeds outwards.
func (c *webOfTrust) load(ctx context.Context) error {
	members := make(map[string]bool, len(c.authors))
	for _, pubkey := range c.authors {
		members[pubkey] = true
	}
	ring := c.seeds
	for range c.depth {
		var next []string
		for chunk := range slices.Chunk(ring, listsPerREQ) {
			for e, err := range c.query(ctx, nostr.Filter{Kinds: []int{kindFollows}, Authors: chunk, Limit: len(chunk)}) {
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
		c.log.WarnContext(ctx, "the web of trust is cut short, lower --follow-depth", "authors", len(members))
	}
	c.members.Store(&members)
	return nil
}

// await loads the circle for the first time, and tries until ctx ends.
func (c *webOfTrust) await(ctx context.Context) error {
	for {
		err := c.load(ctx)
		if err == nil {
			c.log.InfoContext(ctx, "only events of the web of trust are processed", "authors", len(*c.members.Load()))
			return nil
		}
		c.log.WarnContext(ctx, "ingest waits for the follow lists", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Second):
		}
	}
}

// refresh loads the circle again from time to time until ctx ends.
func (c *webOfTrust) refresh(ctx context.Context) {
	if len(c.seeds) == 0 {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(reloadEvery):
		}
		if err := c.load(ctx); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "could not read the follow lists again, going by the last ones", "err", err)
		}
	}
}
