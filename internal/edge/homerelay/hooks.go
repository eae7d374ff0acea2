package homerelay

import (
	"context"
	"log/slog"
	"time"

	"github.com/fiatjaf/eventstore"
	"github.com/fiatjaf/khatru"
	"github.com/nbd-wtf/go-nostr"
	"github.com/nbd-wtf/go-nostr/nip11"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// maxMessage is the largest client message: an event of the size that
// relaymesh handles, and its envelope.
const maxMessage = events.MaxEventBytes + 4<<10

// newKhatru puts the store and the live subscriptions behind khatru's hooks.
func newKhatru(s *store, l *live, c Config) *khatru.Relay {
	rl := khatru.NewRelay()
	rl.Log = slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug)
	rl.Negentropy = true
	rl.MaxMessageSize = maxMessage
	rl.Info = &nip11.RelayInformationDocument{
		Name:          c.Name,
		Description:   c.Description,
		PubKey:        c.PubKey,
		Contact:       c.Contact,
		Software:      "https://github.com/relaymesh/relaymesh",
		Version:       "khatru v0.19.1",
		SupportedNIPs: []any{1, 9, 11, 40, 42, 70, 77},
		Limitation: &nip11.RelayLimitationDocument{
			MaxMessageLength:    maxMessage,
			MaxEventTags:        events.MaxTags,
			CreatedAtUpperLimit: events.MaxFuture,
		},
	}
	if rl.Info.Name == "" {
		rl.Info.Name = "relaymesh home relay"
	}
	rl.RejectEvent = append(rl.RejectEvent, refuse(s.now))
	rl.RejectFilter = append(rl.RejectFilter, func(_ context.Context, f nostr.Filter) (bool, string) {
		return f.Search != "", "unsupported: this relay has no search (NIP-50)"
	})
	rl.OverwriteFilter = append(rl.OverwriteFilter, l.subscribe)
	store := func(_ context.Context, e *nostr.Event) error {
		if err := s.Insert(e); err != nil {
			return err
		}
		l.publish(e)
		// To khatru this is OK true without a broadcast of its own.
		return eventstore.ErrDupEvent
	}
	rl.StoreEvent = append(rl.StoreEvent, store)
	rl.ReplaceEvent = append(rl.ReplaceEvent, store)
	rl.QueryEvents = append(rl.QueryEvents, s.queryEvents(c.Log))
	return rl
}

// refuse is khatru's RejectEvent: what must not reach the store, and what
// would crash khatru behind it.
func refuse(now func() time.Time) func(context.Context, *nostr.Event) (bool, string) {
	return func(_ context.Context, e *nostr.Event) (bool, string) {
		switch {
		case int64(e.CreatedAt) > now().Unix()+events.MaxFuture:
			return true, "invalid: created_at is too far in the future"
		case len(e.Tags) > events.MaxTags:
			return true, "invalid: too many tags"
		}
		for _, tag := range e.Tags {
			if len(tag) == 0 {
				return true, "invalid: empty tag"
			}
			// khatru v0.19.1 reads the second element of a d tag unchecked.
			if tag[0] == "d" && len(tag) == 1 {
				return true, "invalid: d tag without a value"
			}
		}
		return false, ""
	}
}

// queryEvents is khatru's QueryEvents. The queries that khatru makes on its
// own, to find what a deletion names and what expired, get nothing: the store
// does both, in the transaction that the write is in.
func (s *store) queryEvents(log *slog.Logger) func(context.Context, nostr.Filter) (chan *nostr.Event, error) {
	return func(ctx context.Context, f nostr.Filter) (chan *nostr.Event, error) {
		out := make(chan *nostr.Event)
		if khatru.IsInternalCall(ctx) {
			close(out)
			return out, nil
		}
		go func() {
			defer close(out)
			err := s.Query(ctx, f, eventstore.IsNegentropySession(ctx), func(e *nostr.Event) bool {
				select {
				case out <- e:
					return true
				case <-ctx.Done():
					return false
				}
			})
			if err != nil && ctx.Err() == nil {
				log.Error("home relay query failed", "err", err)
			}
		}()
		return out, nil
	}
}
