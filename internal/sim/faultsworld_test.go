package sim_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// badRelays are the relays as a process sees them in bad weather.
type badRelays struct {
	*relays
	*incarnation
	ledger *ledger
}

// answerTime is how long the relay edge waits for an answer.
const answerTime = 30 * time.Second

// interrupted says that what failed was the connection.
func interrupted(err error) error {
	if errors.Is(err, errInjected) || errors.Is(err, errDown) || errors.Is(err, errDead) {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	return err
}

// with ends a context with the process, too.
func (r badRelays) with(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.ctx, func() { cancel(errDead) })
	return ctx, func() { stop(); cancel(nil) }
}

func (r badRelays) Query(ctx context.Context, url string, f nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		ctx, end := r.with(ctx)
		defer end()
		point := "REQ " + url + " " + f.Key()
		left := -1
		if r.dead() {
			yield(nostr.Event{}, errDead)
			return
		}
		switch r.pick(point, fails, cut, stalls, lies, late) {
		case fails:
			yield(nostr.Event{}, errCut)
			return
		case cut:
			left = int(r.span(point, 4*time.Millisecond) / time.Millisecond % 4)
		case stalls:
			pause(ctx, answerTime)
			yield(nostr.Event{}, errors.Join(context.Cause(ctx), errors.New("no answer in time")))
			return
		case lies: // that it has none
			return
		case late:
			pause(ctx, r.span(point, 5*time.Second))
		}
		for e, err := range r.relays.Query(ctx, url, f) {
			if left == 0 || r.dead() {
				yield(nostr.Event{}, errCut)
				return
			}
			left--
			if !yield(e, interrupted(err)) {
				return
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (r badRelays) Find(ctx context.Context, url, id string) (*nostr.Event, error) {
	for e, err := range r.Query(ctx, url, nostr.Filter{IDs: []string{id}}) {
		if err != nil {
			return nil, err
		}
		return &e, nil
	}
	return nil, nil
}

func (r badRelays) Publish(ctx context.Context, url string, e nostr.Event) (reply reconcile.Reply, err error) {
	point := "EVENT " + url + " " + e.ID
	switch r.pick(point+" ", stalls, lies) {
	case stalls:
		pause(ctx, answerTime)
		return reply, reconcile.ErrTimeout
	case lies:
		return reconcile.ParseReply(false, "rate-limited: slow down"), nil
	}
	err = r.effect(point, func() error {
		r.ledger.offered(url, e)
		reply, err = r.relays.Publish(ctx, url, e)
		return err
	})
	return reply, interrupted(err)
}

func (r badRelays) Subscribe(ctx context.Context, url string, filters ...nostr.Filter) iter.Seq2[syncing.Update, error] {
	return func(yield func(syncing.Update, error) bool) {
		if r.dead() {
			yield(syncing.Update{}, errDead)
			return
		}
		ctx, end := r.with(ctx)
		defer end()
		switch point := "SUB " + url; r.pick(point, fails, cut) {
		case fails:
			yield(syncing.Update{}, errCut)
			return
		case cut:
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, r.span(point, 4*time.Minute), errCut)
			defer cancel()
		}
		for u, err := range r.relays.Subscribe(ctx, url, filters...) {
			if !yield(u, interrupted(err)) {
				return
			}
		}
	}
}

func (r badRelays) Negentropy(ctx context.Context, url string, f nostr.Filter, first []byte) (s syncing.Session, answer []byte, err error) {
	point := "NEG-OPEN " + url
	if r.pick(point+" ", stalls) == stalls {
		pause(ctx, answerTime)
		return nil, nil, fmt.Errorf("%w: no answer in time", reconcile.ErrNoNegentropy)
	}
	err = r.asks(point, func() error {
		s, answer, err = r.relays.Negentropy(ctx, url, f, first)
		return err
	})
	return badSession{s, r, url}, answer, interrupted(err)
}

type badSession struct {
	syncing.Session
	r   badRelays
	url string
}

func (s badSession) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	point := "NEG-MSG " + s.url
	if s.r.dead() {
		return nil, errCut
	}
	switch s.r.pick(point, cut, lies, late) {
	case cut:
		return nil, errCut
	case lies:
		return []byte{0x61, 0xff, 0xff, 0xff, 0x01}, nil
	case late:
		pause(ctx, s.r.span(point, 5*time.Second))
	}
	return s.Session.Exchange(ctx, msg)
}

func (s badSession) Close() {
	if s.Session != nil {
		s.Session.Close()
	}
}

func (r badRelays) missing(ctx context.Context, refs []events.NoteMissing) (missing []events.NoteMissing, err error) {
	err = r.asks("missing", func() error {
		missing, err = r.relays.missing(ctx, refs)
		return err
	})
	return missing, err
}

func (r badRelays) deleted(ctx context.Context, e *nostr.Event) (gone bool, err error) {
	err = r.asks("gone "+e.ID, func() error {
		gone, err = r.relays.deleted(ctx, e)
		return err
	})
	return gone, err
}

func (r badRelays) probe(ctx context.Context, url string) (doc contract.Relay, err error) {
	err = r.asks("probe "+url, func() error {
		doc, err = r.relays.probe(ctx, url)
		return err
	})
	return doc, err
}
