package run

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The stages see the direct messages of the embedded relay, each by its own way to
// it: syncs, the questions for what is there, the fetcher and the tail. A peer that
// syncs with it, and whoever else, does not.
func TestStagesSeeDirectMessagesOfTheEmbeddedRelay(t *testing.T) {
	silent := slog.New(slog.DiscardHandler)
	home, err := homerelay.Start(t.Context(), homerelay.Config{Path: filepath.Join(t.TempDir(), "relay.db"), Log: silent})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { home.Close() })
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	message := nostr.Event{Kind: 4, CreatedAt: 1_700_000_000, Content: "?iv=", Tags: []nostr.Tag{}}
	if err := key.SignEvent(&message); err != nil {
		t.Fatal(err)
	}
	hometest.Publish(t, home.URL(), message)
	e := &Env{Config: config.Config{Relay: home.URL(), RelayToken: home.Token()}, Log: silent}
	e.relays = newRelays(e.Config, relay.Options{})
	t.Cleanup(e.relays.close)
	at, err := e.relays.At(t.Context(), home.URL())
	if err != nil {
		t.Fatal(err)
	}
	if got := shown(t, at); !slices.Equal(got, []string{message.ID}) {
		t.Errorf("a sync is shown %v, want the message", got)
	}
	if found, err := e.relays.Find(t.Context(), home.URL(), message.ID); err != nil || found == nil {
		t.Errorf("the fetcher found %v, %v, want the message", found, err)
	}
	if missing, err := relay.NewLocal(e.relays.home, home.URL()).Missing(t.Context(), []string{message.ID}); err != nil || len(missing) > 0 {
		t.Errorf("missing are %v, %v, want none", missing, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	heard := ""
	_ = e.relays.follow(home.URL())(ctx, 0, func(_ context.Context, e nostr.Event) error {
		heard = e.ID
		cancel()
		return nil
	}, func(context.Context, int64) error { cancel(); return nil })
	if heard != message.ID {
		t.Errorf("the tail heard %q, want the message", heard)
	}
	stranger := newRelays(config.Config{Relay: home.URL()}, relay.Options{})
	t.Cleanup(stranger.close)
	if at, err = stranger.At(t.Context(), home.URL()); err != nil {
		t.Fatal(err)
	}
	if got := shown(t, at); len(got) > 0 {
		t.Errorf("a stranger is shown %v", got)
	}
	responder, shut, err := e.Respond(&syncing.Stage{Local: home.URL()})("peer")
	if err != nil {
		t.Fatal(err)
	}
	defer shut()
	defer responder.Close()
	responder.Open(nostr.Filter{})
	if answer, err := responder.Answer(t.Context(), []byte{0x61, 0, 0, 2, 0}); err != nil || len(answer) > 32 {
		t.Errorf("a peer is answered %x, %v, want an empty set", answer, err)
	}
}

// shown lists what a relay shows for every filter.
func shown(t *testing.T, at reconcile.Relay) (ids []string) {
	t.Helper()
	for e, err := range at.Query(t.Context(), nostr.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}
