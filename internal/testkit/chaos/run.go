package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// startWithin bounds how long it may take until everything works before
// anything is broken.
const startWithin = 3 * time.Minute

// endure is one run from beginning to end; the error says that it could not be
// made, or what did not hold.
func endure(ctx context.Context, o *options, dir string) error {
	plan := schedule(o.Seed, o.Duration, o.Inside, o.Only)
	r := &report{options: o, plan: plan}
	r.head()
	running, stop := context.WithCancel(ctx)
	f, err := newFleet(running, o, dir)
	defer func() { stop(); f.close() }()
	if err != nil {
		return fmt.Errorf("couldn't start: %w", err)
	}
	w, err := newLoad(f, newLedger())
	if err != nil {
		return err
	}
	r.fleet, r.ledger = f, w.ledger
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	seen := &witness{}
	watching.Go(func() { f.watch(running, w.ledger) })
	watching.Go(func() { seen.follow(running, f.js) })
	if err := w.begin(running); err != nil {
		return err
	}
	r.say("everything runs; the load begins")
	if err := r.breakAll(running, w); err != nil {
		return err
	}
	if err := r.settle(running, w, seen); err != nil {
		return err
	}
	return r.print()
}

// begin returns when a first probe has passed.
func (w *load) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, errors.New("it did not work even before anything was broken"))
	defer cancel()
	if err := w.introduce(ctx); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	_, err := w.recovered(ctx)
	return errors.Join(err, context.Cause(ctx))
}

// breakAll goes through the plan under load.
func (r *report) breakAll(ctx context.Context, w *load) error {
	loaded, cancel := context.WithTimeout(ctx, r.options.Duration)
	defer cancel()
	limit, cancel := context.WithTimeout(ctx, r.options.Duration+r.options.Settle)
	defer cancel()
	before := w.ledger.count()
	begun := time.Now()
	var faults sync.WaitGroup
	for _, what := range r.plan {
		faults.Go(func() {
			select {
			case <-time.After(time.Until(begun.Add(what.At))):
			case <-ctx.Done():
				return
			}
			said, err := r.fleet.inflict(limit, what)
			if err != nil {
				r.fail(fmt.Errorf("%s of %s: %w", what.Kind, said, err))
				return
			}
			r.say("%-13s %s, for %.1fs", what.Kind, said, what.Lasts.Seconds())
			took, err := w.recovered(limit)
			if err != nil {
				r.fail(fmt.Errorf("no probe passed after the %s of %s: %w", what.Kind, said, err))
				return
			}
			r.recoveries.add(what.Kind, took)
		})
	}
	w.run(loaded, r.options.Rate)
	r.held = float64(w.ledger.count()-before) / time.Since(begun).Seconds()
	r.say("the load ends; waiting for what was accepted")
	faults.Wait()
	return errors.Join(ctx.Err(), r.failed())
}

// settle waits until everything has arrived, and checks it. It goes on for as
// long as something is missing, up to the limit.
func (r *report) settle(ctx context.Context, w *load, seen *witness) error {
	begun := time.Now()
	limit, cancel := context.WithTimeout(ctx, r.options.Settle)
	defer cancel()
	notSent := w.wait(limit)
	if err := r.welcomeBack(limit); err != nil {
		return err
	}
	for told := time.Now(); ; {
		missing, lists := len(w.ledger.missing()), len(w.ledger.unread())
		if missing+lists == 0 || limit.Err() != nil {
			var err error
			if r.verdict, err = r.fleet.check(ctx, w.ledger, seen); err != nil {
				return err
			}
			if notSent != nil {
				r.verdict.Lost = append(r.verdict.Lost, notSent.Error())
			}
			if len(r.verdict.Lost) == 0 || limit.Err() != nil {
				r.settled = time.Since(begun)
				return ctx.Err()
			}
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			r.say("still missing: %d events, %d lists", missing, lists)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// welcomeBack does what docs/operating.md tells operators to do about a relay
// that works again: its entry is deleted, so that the next scheduled sync tries it instead
// of leaving it alone for ten minutes.
func (r *report) welcomeBack(ctx context.Context) error {
	return until(ctx, func() error {
		relays, err := r.fleet.js.KeyValue(ctx, contract.BucketRelays)
		if err != nil {
			return err
		}
		for _, url := range r.fleet.farURLs {
			entry, err := relays.Get(ctx, nostr.RelayKey(url))
			if errors.Is(err, jetstream.ErrKeyNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			known, err := nostr.Decode[contract.Relay](entry.Value())
			if err != nil {
				return err
			}
			if known.RetryAt > time.Now().Unix() {
				r.say("%s failed %d times, and was left alone; its entry is deleted", url, known.Failures)
				if err := relays.Purge(ctx, entry.Key()); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
