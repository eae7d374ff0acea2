package jsonl

import (
	"bytes"
	"context"
	"fmt"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// session answers for a set of lines, 40 bytes an event. It stays as it was opened.
type session struct{ *negentropy.Reconciler }

// Open answers for what was read and written so far: all ids are at hand, so that
// nothing has to be paged.
func (s *Relay) Open(ctx context.Context, filter nostr.Filter, first []byte) (reconcile.Session, []byte, error) {
	var items []negentropy.Item
	filter.Limit = 0
	_, err := s.each(ctx, filter, func(e nostr.Event) bool {
		id, _ := negentropy.ParseID(e.ID) // it was verified when it was read
		items = append(items, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
		return true
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read lines: %w", err)
	}
	set := session{negentropy.NewReconciler(negentropy.NewVector(items), negentropy.Options{FrameLimit: negentropy.DefaultMessageLimit})}
	answer, err := set.Exchange(ctx, first)
	return set, answer, err
}

// Exchange answers a message.
func (s session) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	answer, err := s.Respond(msg)
	return bytes.Clone(answer), err
}

// Close has nothing to free.
func (session) Close() {}
