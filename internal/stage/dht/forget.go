package dht

import (
	"context"
	"fmt"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// forgetWith is the slice with whose refresh relays are forgotten: each comes once
// an hour, to one worker.
const forgetWith = "00"

// forget drops the relays that never answered and are long known, with their
// links, and those that were never asked since the lists that named them name others.
// Their schedules end with the next sync, which finds nobody who writes there.
func (s *Stage) forget(ctx context.Context, now int64) error {
	err := s.Relays.Each(ctx, "*", func(key string, r contract.Relay) error {
		switch {
		case r.Stranger(now):
			if err := stage.Unlink(ctx, s.Links, key); err != nil {
				return err
			}
		case r.Unasked(now):
			if linked, err := stage.Linked(ctx, s.Links, key); err != nil || linked {
				return err
			}
		default:
			return ctx.Err()
		}
		_, err := s.Relays.Remove(ctx, key, func(old contract.Relay) bool { return old.Stranger(now) || old.Unasked(now) })
		return err
	})
	if err != nil {
		return fmt.Errorf("couldn't forget relays that never answered: %w", err)
	}
	return nil
}

// gone reports whether an author is not looked up any more: nobody has seen them
// for long, and none of their relays has ever answered. It is so a day before their
// relays are forgotten, which a look-up would bring back.
func (s *Stage) gone(ctx context.Context, author contract.Author) (bool, error) {
	if author.LastSeen == 0 || author.LastSeen > s.Now().Add(24*time.Hour-contract.ForgetAfter).Unix() {
		return false, nil
	}
	for _, url := range author.WriteRelays() {
		if relay, _, err := s.Relays.Get(ctx, nostr.RelayKey(url)); err != nil || relay.HasAnswered() {
			return false, err
		}
	}
	return true, nil
}
