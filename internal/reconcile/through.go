package reconcile

import (
	"context"
	"iter"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Op is a method of [Relay].
type Op int

// The methods of [Relay].
const (
	OpOpen Op = iota
	OpQuery
	OpPublish
	OpSubscribe
	OpLimits
)

// Request is one call of a [Relay] on its way through the decorators, and what
// has come of it. One goroutine uses it.
type Request struct {
	Op      Op
	Filters []nostr.Filter // of OpOpen, OpQuery and OpSubscribe
	Event   *nostr.Event   // of OpPublish

	// The answers, set by ask; a decorator may set or replace them.
	Session Session // of OpOpen
	Reply   Reply   // of OpPublish
	Limits  Limits  // of OpLimits
	Events  int     // of OpQuery and OpSubscribe: how many have been passed on
}

// Ask has a relay answer a request. It returns when the last item of a list is
// passed on.
type Ask func(ctx context.Context, r Relay) error

// Through is a relay whose calls go through a function. It asks the relay that is
// to answer, with ask: once, again, another one, or none.
//
// A decorator is a function from Relay to Relay that is made of this, so that it
// names what it changes, and nothing else has to be written for it.
func Through(via func(ctx context.Context, q *Request, ask Ask) error) Relay { return through{via} }

type through struct {
	via func(ctx context.Context, q *Request, ask Ask) error
}

func (t through) Open(ctx context.Context, filter nostr.Filter, first []byte) (_ Session, answer []byte, err error) {
	q := &Request{Op: OpOpen, Filters: []nostr.Filter{filter}}
	err = t.via(ctx, q, func(ctx context.Context, r Relay) (err error) {
		q.Session, answer, err = r.Open(ctx, filter, first)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return q.Session, answer, nil
}

func (t through) Query(ctx context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error] {
	return list(ctx, t, OpQuery, filters, Relay.Query)
}

func (t through) Subscribe(ctx context.Context, filters ...nostr.Filter) iter.Seq2[Update, error] {
	return list(ctx, t, OpSubscribe, filters, Relay.Subscribe)
}

func (t through) Publish(ctx context.Context, e nostr.Event) (Reply, error) {
	q := &Request{Op: OpPublish, Event: &e}
	err := t.via(ctx, q, func(ctx context.Context, r Relay) (err error) {
		q.Reply, err = r.Publish(ctx, e)
		return err
	})
	return q.Reply, err
}

func (t through) Limits(ctx context.Context) Limits {
	q := &Request{Op: OpLimits}
	_ = t.via(ctx, q, func(ctx context.Context, r Relay) error { // limits are a hint
		q.Limits = r.Limits(ctx)
		return nil
	})
	return q.Limits
}

// list passes on what a relay lists, and at last the error of the decorator.
func list[T any](
	ctx context.Context, t through, op Op, filters []nostr.Filter,
	method func(Relay, context.Context, ...nostr.Filter) iter.Seq2[T, error],
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		q, enough := &Request{Op: op, Filters: filters}, false
		err := t.via(ctx, q, func(ctx context.Context, r Relay) error {
			for item, err := range method(r, ctx, q.Filters...) {
				if err != nil {
					return err
				}
				q.Events++
				if enough = !yield(item, nil); enough {
					return nil
				}
			}
			return nil
		})
		if err != nil && !enough {
			var none T
			yield(none, err)
		}
	}
}
