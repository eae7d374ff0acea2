package dht

import (
	"context"

	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// busyAttempts is how often a message of an author whom nobody knows waits for a
// slot before it is left to the schedule: for about half an hour.
const busyAttempts = 8

// authorSlot waits for a slot for work that costs packets on the DHT. Authors who
// have been here for long come before keys that were made today.
func (s *Stage) authorSlot(ctx context.Context, slots *hosts.Slots, pubkey string) (release func(), err error) {
	known, err := s.knows(ctx, pubkey)
	if err != nil {
		return nil, err
	}
	return slots.Acquire(ctx, pubkey, known)
}

// knows reports whether an author, who may be unnamed, has been here for long.
func (s *Stage) knows(ctx context.Context, pubkey string) (bool, error) {
	if pubkey == "" {
		return false, nil
	}
	author, _, err := s.Authors.Get(ctx, pubkey)
	return author.Known(s.Now().Unix()), err
}

// lookUpFor is lookUp in a slot for an author.
func (s *Stage) lookUpFor(ctx context.Context, pubkey, key string) (events.ResolveResponse, error) {
	if key == "" {
		return s.lookUp(ctx, key)
	}
	release, err := s.authorSlot(ctx, &s.lookUps, pubkey)
	if err != nil {
		return events.ResolveResponse{}, err
	}
	defer release()
	return s.lookUp(ctx, key)
}
