// Package hometest gives tests the embedded relay with events in it, and tells
// which events a relay holds.
package hometest

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Start runs an embedded relay that holds the events until the test ends, and
// returns its URL.
func Start(tb testing.TB, list ...nostr.Event) (url string) {
	tb.Helper()
	r, err := homerelay.Start(tb.Context(), homerelay.Config{
		Path: filepath.Join(tb.TempDir(), "relay.db"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.Close() })
	Publish(tb, r.URL(), list...)
	return r.URL()
}

// Dial connects to a relay until the test ends.
func Dial(tb testing.TB, url string) *relay.Conn {
	tb.Helper()
	c, err := relay.Dial(tb.Context(), url, relay.Options{AllowPrivate: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// Publish writes events to any relay, which must take them.
func Publish(tb testing.TB, url string, list ...nostr.Event) {
	tb.Helper()
	c := Dial(tb, url)
	defer c.Close()
	group, ctx := errgroup.WithContext(tb.Context())
	for _, e := range list {
		group.Go(func() error { return c.Publish(ctx, e) })
	}
	if err := group.Wait(); err != nil {
		tb.Fatal(err)
	}
}

// IDsAt lists the ids of a relay's events, sorted, each as often as the relay
// shows it.
func IDsAt(tb testing.TB, url string) []string {
	tb.Helper()
	c := Dial(tb, url)
	defer c.Close()
	var ids []string
	for e, err := range c.Query(tb.Context(), nostr.Filter{}) {
		if err != nil {
			tb.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

// IDsOf returns the ids of events, sorted, each once.
func IDsOf(list ...nostr.Event) []string {
	var ids []string
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Notes signs notes of one new author with these tags. Three share a second, so
// that a page of events may end within one, and their lengths differ.
func Notes(n int, tags ...nostr.Tag) []nostr.Event {
	key, err := schnorr.NewSecret()
	if err != nil {
		panic(err)
	}
	list := make([]nostr.Event, n)
	for i := range list {
		list[i] = nostr.Event{Kind: 1, CreatedAt: 1_700_000_000 + int64(i/3), Content: strings.Repeat("note ", i%100), Tags: tags}
		if err := key.SignEvent(&list[i]); err != nil {
			panic(err)
		}
	}
	return list
}
