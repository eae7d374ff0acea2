package khatrutest

import (
	"encoding/json"
	"log/slog"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The peer stores, replaces, answers and reconciles.
func TestPeer(t *testing.T) {
	r, err := Start(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := relay.Dial(t.Context(), r.URL(), relay.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if info, err := relay.FetchInfo(t.Context(), r.URL(), relay.Options{AllowPrivate: true}); err != nil || !info.Supports(77) {
		text, _ := json.Marshal(info)
		t.Errorf("NIP-11: %s, %v", text, err)
	}
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i, kind := range []int{1, 1, 10002, 10002} {
		e := nostr.Event{Kind: kind, CreatedAt: int64(1000 + i)}
		if err := key.SignEvent(&e); err != nil {
			t.Fatal(err)
		}
		for range 2 { // a duplicate is no failure
			if err := reconcile.Write(t.Context(), c, e); err != nil {
				t.Fatal(err)
			}
		}
		if i != 2 { // the older of the two lists
			want = append(want, e.ID)
		}
	}
	slices.Reverse(want) // newest first
	var got []string
	for e, err := range c.Query(t.Context(), nostr.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("query: %v, want %v", got, want)
	}
	var needs []string
	rec := negentropy.NewReconciler(negentropy.NewVector(nil), negentropy.Options{
		Need: func(id negentropy.ID) { needs = append(needs, id.String()) },
	})
	s, answer, err := c.Open(t.Context(), nostr.Filter{}, rec.Initiate())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, done, err := rec.Reconcile(answer); err != nil || !done {
		t.Fatalf("done %v, %v", done, err)
	}
	slices.Sort(needs)
	slices.Sort(want)
	if !slices.Equal(needs, want) {
		t.Errorf("negentropy: %v, want %v", needs, want)
	}
}
