package run

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// traced is a relay whose queries and sessions are told of in traces, and its
// writes if wanted. A subscription lasts for too long to be a span.
func traced(r reconcile.Relay, name string, writes bool) reconcile.Relay {
	return reconcile.Through(func(ctx context.Context, q *reconcile.Request, ask reconcile.Ask) error {
		switch {
		case q.Op == reconcile.OpQuery:
			ctx, span := span(ctx, "relay query", atRelay(name))
			err := ask(ctx, r)
			span.SetAttributes(attribute.Int("relay.events", q.Events))
			bus.End(span, err)
			return err
		case q.Op == reconcile.OpPublish && writes:
			ctx, span := span(ctx, "relay publish", atRelay(name), attribute.String(bus.AttrEvent, q.Event.ID))
			err := ask(ctx, r)
			bus.End(span, err)
			return err
		case q.Op == reconcile.OpOpen:
			_, span := span(ctx, "relay negentropy", atRelay(name))
			err := ask(ctx, r)
			if err != nil {
				bus.End(span, err)
				return err
			}
			q.Session = &tracedSession{Session: q.Session, span: span}
			return nil
		}
		return ask(ctx, r)
	})
}

// tracedSession is a session whose span lasts until it is closed.
type tracedSession struct {
	reconcile.Session

	span     trace.Span
	messages atomic.Int64 // after the first
}

func (s *tracedSession) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	s.messages.Add(1)
	return s.Session.Exchange(ctx, msg)
}

func (s *tracedSession) Close() {
	s.Session.Close()
	s.span.SetAttributes(attribute.Int64("relay.messages", 1+s.messages.Load()))
	s.span.End()
}
