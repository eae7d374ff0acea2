package sim_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// badRelays are the relays as a process sees them while faults are injected.
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

// At returns one of the relays.
func (r badRelays) At(_ context.Context, url string) (reconcile.Relay, error) {
	return badRelay{r, at{r.relays, url}}, nil
}

// badRelay is one of the relays.
type badRelay struct {
	badRelays

	at at
}

func (r badRelay) Limits(ctx context.Context) reconcile.Limits { return r.at.Limits(ctx) }

func (r badRelay) Query(ctx context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error] {
	return r.query(ctx, r.at.url, filters[0])
}

func (r badRelays) query(ctx context.Context, url string, f nostr.Filter) iter.Seq2[nostr.Event, error] {
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
		for e, err := range r.relays.query(ctx, url, f) {
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
	for e, err := range r.query(ctx, url, nostr.Filter{IDs: []string{id}}) {
		if err != nil {
			return nil, err
		}
		return &e, nil
	}
	return nil, nil
}

func (r badRelay) Publish(ctx context.Context, e nostr.Event) (reply reconcile.Reply, err error) {
	point := "EVENT " + r.at.url + " " + e.ID
	switch r.pick(point+" ", stalls, lies) {
	case stalls:
		pause(ctx, answerTime)
		return reply, reconcile.ErrTimeout
	case lies:
		return reconcile.ParseReply(false, "rate-limited: slow down"), nil
	}
	err = r.effect(point, func() error {
		r.ledger.offered(r.at.url, e)
		reply, err = r.at.Publish(ctx, e)
		return err
	})
	return reply, interrupted(err)
}

func (r badRelay) Subscribe(ctx context.Context, filters ...nostr.Filter) iter.Seq2[reconcile.Update, error] {
	return func(yield func(reconcile.Update, error) bool) {
		if r.dead() {
			yield(reconcile.Update{}, errDead)
			return
		}
		ctx, end := r.with(ctx)
		defer end()
		switch point := "SUB " + r.at.url; r.pick(point, fails, cut) {
		case fails:
			yield(reconcile.Update{}, errCut)
			return
		case cut:
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, r.span(point, 4*time.Minute), errCut)
			defer cancel()
		}
		for u, err := range r.at.Subscribe(ctx, filters...) {
			if !yield(u, interrupted(err)) {
				return
			}
		}
	}
}

func (r badRelay) Open(ctx context.Context, f nostr.Filter, first []byte) (s reconcile.Session, answer []byte, err error) {
	point := "NEG-OPEN " + r.at.url
	if r.pick(point+" ", stalls) == stalls {
		pause(ctx, answerTime)
		return nil, nil, fmt.Errorf("%w: no answer in time", reconcile.ErrNoNegentropy)
	}
	err = r.asks(point, func() error {
		s, answer, err = r.at.Open(ctx, f, first)
		return err
	})
	return badSession{s, r.badRelays, r.at.url}, answer, interrupted(err)
}

type badSession struct {
	reconcile.Session
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
