package relay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Query yields the stored events that match any of the filters, in the relay's
// order, and ends at EOSE. A failure is yielded once, as the last item: a
// [*reconcile.RefusedError] for CLOSED, reconcile.ErrTimeout, ErrConnClosed, ErrSlowConsumer,
// reconcile.ErrMisbehaving, or the context's error. On auth-required it authenticates
// once, if there is a key, and asks again.
//
// A filter without ids or a limit lets the relay decide how much it sends; the
// caller bounds that by breaking off or by the context. While the caller works
// on an event the next ones wait, and behind them whatever else comes on the
// connection: inside the loop, do not wait for an answer on the same one.
func (c *Conn) Query(ctx context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		err := c.request(ctx, request{filters: filters, held: reconcile.Held(ctx)}, func(u reconcile.Update) bool { return yield(u.Event, nil) })
		if err != nil {
			yield(nostr.Event{}, err)
		}
	}
}

// Subscribe is [Conn.Query] that goes on after EOSE, of which it yields a
// mark, with the events that the relay receives from then on. It ends only
// with an error.
func (c *Conn) Subscribe(ctx context.Context, filters ...nostr.Filter) iter.Seq2[reconcile.Update, error] {
	return func(yield func(reconcile.Update, error) bool) {
		err := c.request(ctx, request{filters: filters, live: true}, func(u reconcile.Update) bool { return yield(u, nil) })
		if err != nil {
			yield(reconcile.Update{}, err)
		}
	}
}

// request is what a Query or a Subscribe asks for.
type request struct {
	filters []nostr.Filter
	live    bool
	trusted bool // skip the signature: only whether events are there is asked

	held func(*nostr.Event) bool // the same for events that it reports; may be nil
}

// errAskAgain ends an answer in the midst of which the relay asked who we are: it
// may have shown a part only.
var errAskAgain = errors.New("the relay asked who we are in the midst of its answer")

// requestOnce runs a request until its end, or until take has had enough. If the
// relay wants to know who we are, it is asked again, once, and what came before
// is not passed on twice.
func (c *Conn) requestOnce(ctx context.Context, r request, take func(reconcile.Update) bool) error {
	if len(r.filters) == 0 {
		return nil
	}
	var seen map[string]bool // ids that were passed on, as long as it may be asked again: up to the mark
	if c.opts.Auth != nil {
		seen = map[string]bool{}
	}
	err := c.ask(ctx, r, false, func(u reconcile.Update) bool {
		if u.EOSE {
			seen = nil
		} else if seen != nil {
			seen[u.Event.ID] = true
		}
		return take(u)
	})
	again := func() error {
		return c.ask(ctx, r, true, func(u reconcile.Update) bool { return !u.EOSE && seen[u.Event.ID] || take(u) })
	}
	switch {
	case errors.Is(err, errAskAgain):
		_ = c.authenticate(ctx) // the relay decides again what it shows
		err = again()
	case seen != nil:
		err = c.afterAuth(ctx, err, again)
	}
	if err != nil {
		return named{c.url, err}
	}
	return nil
}

// ask sends one REQ and passes on what comes. It returns nil at EOSE of a query
// or when take has had enough, and [errAskAgain], unless it is the last try, at
// the end of the stored events if the relay asked who we are meanwhile.
func (c *Conn) ask(ctx context.Context, r request, last bool, take func(reconcile.Update) bool) error {
	before := c.noticed.Load()
	s, err := c.open(ctx, r)
	if err != nil {
		return err
	}
	defer s.close()
	judge, stored := newValidator(r), true
	wait := time.NewTimer(c.opts.timing.answer)
	defer wait.Stop()
	for {
		batch, err := s.next(ctx, wait.C, min(judge.most, queueLength))
		// Some refuse by NOTICE, which names no subscription.
		if notice := c.noticed.Load(); errors.Is(err, reconcile.ErrTimeout) && notice != before {
			if refused := reconcile.NewQueryRefusal(*notice); errors.Is(refused, reconcile.ErrTooMany) || smallerLimit(refused, r.filters) > 0 {
				return refused
			}
			err = fmt.Errorf("%w; its notice: %q", err, reconcile.Clip(*notice))
		}
		if err != nil {
			if stored && !last && reconcile.RefusalOf(err) != nil && c.askedSince(s.known) {
				return errAskAgain
			}
			return err
		}
		all, unread := judge.read(batch)
		for i, d := range batch {
			s.budget.Release(d.size())
			u := reconcile.Update{Event: all[i], EOSE: d.eose}
			if d.eose {
				switch {
				case !stored: // whoever listens does so already
					continue
				case !last && c.askedSince(s.known):
					return errAskAgain
				case !r.live:
					return nil
				}
				stored, judge.most = false, -1
				wait.Stop() // from here on, silence is normal
			} else if good, err := judge.admit(ctx, &u.Event, unread[i]); err != nil {
				return err
			} else if !good {
				continue
			}
			if !take(u) {
				return nil
			}
		}
		if stored {
			wait.Reset(c.opts.timing.answer)
		}
	}
}
