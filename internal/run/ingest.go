package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/ingest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// Ingest runs the first stage until ctx ends: the intake stream, and a tail of
// the relay and of each --tail.
func Ingest(ctx context.Context, e *Env) error {
	kv := buckets{ctx: ctx, env: e}
	cursors, heard := open[contract.Cursor](&kv, contract.BucketCursors), open[contract.Heard](&kv, contract.BucketHeard)
	b, err := e.bus(contract.StageIngest)
	if err != nil {
		return err
	}
	var verifier schnorr.Verifier
	p := ingest.Ports{
		Authors: open[contract.Author](&kv, contract.BucketAuthors), Records: open[contract.Record](&kv, contract.BucketRecords),
		Links:   open[contract.Link](&kv, contract.BucketLinks),
		Missing: func(context.Context, []events.NoteMissing) ([]events.NoteMissing, error) { return nil, nil },
		Verify:  verifier.Verify, VerifyList: schnorr.VerifyRelayList,
		ResolveEvery: e.Config.ResolveEvery, AllowPrivate: e.Config.AllowPrivate, Mentions: e.Config.Sync.Mentions, Now: time.Now,
		Denied: e.deny.Lists(),
	}
	tails := e.Config.Tail
	var local *relay.Local // nil without a relay
	if e.Config.Relay != "" {
		local = relay.NewLocal(e.relays.home, e.Config.Relay, e.Config.PublicURLs...)
		p.Missing = missing(local)
		tails = append([]string{e.Config.Relay}, tails...)
	}
	if err := kv.opened(contract.StageIngest); err != nil {
		return err
	}
	p.Policy = ingest.Policy{MissingKinds: e.Config.MissingKinds, MissingPerMinute: e.Config.MissingPerMinute}
	if len(e.Config.Follows) > 0 && local == nil {
		return errors.New("--follows: needs --relay, whose follow lists it reads")
	}
	ours, err := newWebOfTrust(e.Config.Policy)
	if err != nil {
		return err
	}

	e.hasBound()
	group, ctx := errgroup.WithContext(ctx)
	if ours != nil {
		ours.Query, ours.Log = local.Query, e.Log
		if err := ours.Await(ctx); err != nil {
			return nil //nolint:nilerr // only when stopped
		}
		p.Policy.Ours = ours.Has
		group.Go(func() error { ours.Refresh(ctx); return nil })
	}
	s := ingest.New(p)
	b.HandleTogether(consumer(contract.ConsumerIngest), s.Prepare, s.Handle)
	group.Go(func() error { PurgeDenied(ctx, p.Denied, e.Log, s.Purge); return nil })
	group.Go(func() error { return b.Run(ctx) })
	seen := ingest.NewSeen()
	e.relays.world.Want("tails", e.Config.Tail...)
	for _, url := range tails {
		log := e.Log.With("relay", url)
		t := &ingest.Tail{
			URL: url, Cursors: cursors, Heard: heard, Follow: e.watched(url, e.relays.follow(url)), Publish: b.Publish, Seen: seen, Log: log,
			Relay: func(ctx context.Context) (reconcile.Relay, error) { return e.relays.At(ctx, url) },
		}
		group.Go(func() error {
			keepTailing(ctx, log, t.Run)
			return nil
		})
	}
	return group.Wait()
}

// newWebOfTrust reads the public keys of the configuration. It returns nil if the
// relay cares for everyone.
func newWebOfTrust(p config.Policy) (*ingest.WebOfTrust, error) {
	if len(p.Authors)+len(p.Follows) == 0 {
		return nil, nil //nolint:nilnil // as said above
	}
	authors, err := publicKeys("--authors", p.Authors)
	if err != nil {
		return nil, err
	}
	seeds, err := publicKeys("--follows", p.Follows)
	return &ingest.WebOfTrust{Authors: authors, Seeds: seeds, Depth: p.FollowDepth}, err
}

func publicKeys(flag string, list []string) (pubkeys []string, err error) {
	for _, text := range list {
		pubkey, err := schnorr.ParsePublicKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		pubkeys = append(pubkeys, pubkey)
	}
	return pubkeys, nil
}

// keepTailing runs a tail until ctx ends, again and again. For a relay that is away
// the tail itself waits, and the pool has said so.
func keepTailing(ctx context.Context, log *slog.Logger, tail func(context.Context) error) {
	for state := (health.State{}); ctx.Err() == nil; {
		begun := time.Now()
		err := tail(ctx)
		if ctx.Err() != nil || reconcile.AwayOf(err) != nil {
			continue
		}
		now := time.Now()
		if health.Wanted.Steady(now.Sub(begun)) {
			state = health.State{}
		}
		state = health.Wanted.Next(state, health.Failed, now, rand.Float64())
		wait := state.LeftAloneUntil.Sub(now)
		if later := reconcile.LaterOf(err); later != nil {
			wait = max(wait, later.Until.Sub(now))
		}
		level := slog.LevelWarn // not for each failure of a row, nor for a mere cut
		if state.Failures > 1 || errors.Is(err, reconcile.ErrInterrupted) {
			level = slog.LevelInfo
		}
		log.Log(ctx, level, "tail interrupted", "err", err, "wait", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
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
