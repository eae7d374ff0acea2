package peers

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"

	"github.com/relaymesh/relaymesh/internal/edge/p2p"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// idsPerRequest is how many events a HORNETS relay is asked for at a time: it
// compares each of its events with each of the ids.
const idsPerRequest = 200

// side is a libp2p peer as a side of a sync: it says which failures may pass.
type side struct{ *p2p.Peer }

// Open begins a comparison.
func (s side) Open(ctx context.Context, filter nostr.Filter, first []byte) (reconcile.Session, []byte, error) {
	session, answer, err := s.Peer.Open(ctx, filter, first)
	if err != nil {
		return nil, nil, meaning(err)
	}
	return negSession{session}, answer, nil
}

// Query yields what the peer has of the ids of the filter, without which it
// cannot be asked.
func (s side) Query(ctx context.Context, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		if filter.IDs == nil {
			yield(nostr.Event{}, p2p.ErrNoListing)
			return
		}
		for ids := range slices.Chunk(filter.IDs, idsPerRequest) {
			for e, err := range s.Fetch(ctx, ids) {
				if err == nil && !filter.Match(&e) {
					continue
				}
				if !yield(e, meaning(err)) || err != nil {
					return
				}
			}
		}
	}
}

// Publish writes an event and waits until the peer has worked on it.
func (s side) Publish(ctx context.Context, e nostr.Event) (refused string, err error) {
	refused, err = s.Peer.Publish(ctx, e)
	return refused, meaning(err)
}

type negSession struct{ *p2p.Session }

// Exchange sends a message and returns the answer.
func (s negSession) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	answer, err := s.Session.Exchange(ctx, msg)
	return answer, meaning(err)
}

// meaning says what an error means to a sync.
func meaning(err error) error {
	switch {
	case errors.Is(err, p2p.ErrMisbehaving):
		return fmt.Errorf("%w: %w", reconcile.ErrMisbehaving, err)
	case errors.Is(err, p2p.ErrTooLarge):
		return fmt.Errorf("%w: %w", reconcile.ErrTooLarge, err)
	case errors.Is(err, p2p.ErrInterrupted):
		return fmt.Errorf("%w: %w", reconcile.ErrInterrupted, err)
	}
	return err
}

// Dial makes a side of a sync of a multiaddr that the operator gave; it may be
// anywhere.
func Dial(addr string, log *slog.Logger) (reconcile.Side, func(), error) {
	at, err := p2p.ParseAddress(addr)
	if err != nil {
		return reconcile.Side{}, nil, err
	}
	host, err := p2p.Start(p2p.Options{AllowPrivate: true, Log: log})
	if err != nil {
		return reconcile.Side{}, nil, err
	}
	peer := host.Peer(at)
	return reconcile.Side{Relay: side{peer}, Name: addr, Accepts: p2p.FrameLimit, Answers: p2p.FrameLimit}, func() {
		peer.Close()
		_ = host.Close() // nothing is left to be done about it
	}, nil
}
