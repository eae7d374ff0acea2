package syncing

import (
	"context"
	"iter"

	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/syncing/pair"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// syncFilter makes the local relay complete for one filter, and adds to the
// figures, also when it fails.
func (s *Stage) syncFilter(ctx context.Context, url string, filter events.Filter, result *events.SyncFinished) error {
	r, err := pair.Sync(ctx, s.side(s.Local), s.side(url), filter, pair.Options{
		Direction: pair.Down,
		BeforeWrite: func(ctx context.Context, _ negentropy.Side, e events.Event) error {
			// Ingest first: it may carry a list, or refer to what is missing, and
			// once the local relay has it no sync looks at it again.
			if received, ok := stage.Received(e); ok {
				return s.Publish(ctx, received)
			}
			return nil
		},
		Remember: func(r pair.Refusal) {
			s.Log.Debug("the local relay refused an event", "event", r.ID.String(), "reason", r.Why)
		},
		Now: s.Now,
	})
	result.Missing += r.OnlyB
	result.Stored += r.ToA
	result.Refused += r.Refused + r.HeldBack
	result.Invalid += r.Undelivered
	result.Messages += r.Messages
	if r.Why != "" {
		result.Why = r.Why
	}
	return err
}

func (s *Stage) side(url string) pair.Side {
	return pair.Side{Relay: relayAt{s.Net, url}, Name: url}
}

// relayAt is one of the relays.
type relayAt struct {
	net Relays
	url string
}

func (r relayAt) Open(ctx context.Context, filter events.Filter, first []byte) (pair.Session, []byte, error) {
	return r.net.Negentropy(ctx, r.url, filter, first)
}

func (r relayAt) Query(ctx context.Context, filter events.Filter) iter.Seq2[events.Event, error] {
	return r.net.Query(ctx, r.url, filter)
}

func (r relayAt) Publish(ctx context.Context, e events.Event) (refused string, err error) {
	return r.net.Publish(ctx, r.url, e)
}
