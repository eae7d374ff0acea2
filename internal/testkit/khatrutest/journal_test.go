package khatrutest

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A relay with a file has what it acknowledged after it was started again,
// whatever a death in the middle of a write left behind.
func TestAcknowledgedEventsOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 3 {
		r, err := StartWith(t.Context(), Config{Path: path, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		c, err := relay.Dial(t.Context(), r.URL(), relay.Options{AllowPrivate: true})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for e, err := range c.Query(t.Context(), nostr.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("start %d: %v, want %v", i, got, want)
		}
		e := nostr.Event{Kind: 1, CreatedAt: int64(1000 - i)}
		if err := key.SignEvent(&e); err != nil {
			t.Fatal(err)
		}
		if err := reconcile.Write(t.Context(), c, e); err != nil {
			t.Fatal(err)
		}
		want = append(want, e.ID)
		c.Close()
		r.Close()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(`{"event":{"id":"to`)
		f.Close()
	}
}
