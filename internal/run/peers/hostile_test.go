package peers

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/p2p"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// evil answers as it likes.
type evil struct {
	told   string // what whoever comes is told
	answer func() []byte
	give   []nostr.Event
}

func (evil) Open(nostr.Filter) {}

func (e evil) Answer(_ context.Context, msg []byte) ([]byte, error) {
	if e.answer == nil && e.give == nil {
		return nil, &p2p.ToldError{Words: e.told, Err: errors.New(e.told)}
	}
	if slices.Equal(msg, []byte{0x61, 0, 0, 2, 0}) {
		return []byte{0x61}, nil // a stream for events
	}
	return e.answer(), nil
}

func (e evil) Read(_ context.Context, _ []negentropy.ID, add func(nostr.Event) error) error {
	for _, ev := range e.give {
		if err := add(ev); err != nil {
			return err
		}
	}
	return nil
}

func (evil) Write(context.Context, []nostr.Event) error { return nil }

func (evil) Close() {}

func junk(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// list is a message that lists n ids which nobody has.
func list(n byte) []byte { return append([]byte{0x61, 0, 0, 2, n}, junk(32*int(n))...) }

// fork is a message that disagrees about everything, ever deeper.
func fork() []byte {
	msg := []byte{0x61}
	for range 16 {
		msg = append(append(msg, 1, 0, 1), junk(16)...)
	}
	return append(append(msg, 0, 0, 1), junk(16)...)
}

// A hostile HORNETS relay gets nowhere, within bounds, and a sync beside it is
// complete.
func TestHostilePeersGetNowhere(t *testing.T) {
	t.Parallel()
	all := signed()
	forgery := all[0]
	forgery.Content = "forged"
	for name, c := range map[string]evil{
		"ranges that never shrink":    {answer: func() []byte { return append([]byte{0x61, 0, 0, 1}, junk(16)...) }},
		"ever more ranges":            {answer: fork},
		"ids that it does not have":   {answer: func() []byte { return list(100) }},
		"forged events":               {answer: func() []byte { return list(100) }, give: slices.Repeat([]nostr.Event{forgery}, 300)},
		"events that were not wanted": {answer: func() []byte { return list(100) }, give: all},
		"nothing at all":              {answer: func() []byte { return []byte{0x61} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := serveEvil(t, c)
			home, honest := hometest.Start(t, all[:50]...), startHornets(t, all[20:70])
			var beside sync.WaitGroup
			defer beside.Wait()
			beside.Go(func() {
				r, err := run.Sync{A: home, B: honest.Addr("udp"), Down: true, Libp2p: Start}.Run(t.Context())
				if err != nil || !r.Complete {
					t.Errorf("the honest one: %v; %+v", err, r)
				}
			})
			r, err := run.Sync{A: home, B: addr, Down: true, Libp2p: Start}.Run(t.Context())
			known := errors.Is(err, reconcile.ErrMisbehaving) || errors.Is(err, negentropy.ErrLimit) || errors.Is(err, negentropy.ErrNoProgress) ||
				errors.Is(err, reconcile.ErrUnproved)
			if !known {
				t.Errorf("%v; %+v", err, r)
			}
			if r.ToA > 0 {
				t.Errorf("%d events of it were stored", r.ToA)
			}
		})
	}
}
