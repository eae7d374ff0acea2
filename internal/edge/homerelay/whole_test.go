package homerelay

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// itemsOf lists a set in its order.
func itemsOf(s negentropy.Store) (items []negentropy.Item) {
	for i := range s.Len() {
		items = append(items, s.At(i))
	}
	return items
}

// The set that is kept sorted is at all times that which reading and sorting the store gives: after writes, replacements,
// deletions, requests to vanish and a restart.
func TestTheWholeSetIsWhatTheStoreHolds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "relay.db")
	kinds := []int{0, 10002}
	r := startConfig(t, Config{Path: path, Kinds: kinds})
	whole := nostr.Filter{Kinds: []int{10002, 62, 0, 5}}
	check := func(what string, f nostr.Filter) int {
		t.Helper()
		read, err := r.store.Items(t.Context(), everything, []nostr.Filter{f}, maxRecords, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		kept := r.store.whole.of([]nostr.Filter{f})
		if kept == nil {
			t.Fatalf("%s: no set is kept for %+v", what, f)
		}
		if got, want := itemsOf(kept), itemsOf(negentropy.NewVector(read)); !slices.Equal(got, want) {
			t.Errorf("%s: %d items are kept, %d are in the store", what, len(got), len(want))
		}
		return kept.Len()
	}
	check("an empty store", whole)
	now, random := time.Now().Unix(), rand.New(rand.NewPCG(1, 2))
	authors := []signer{newSigner(t), newSigner(t), newSigner(t), newSigner(t)}
	for i := range 60 {
		author, at := authors[random.IntN(3)], now-1000+int64(random.IntN(100))
		e := author.event(kinds[random.IntN(2)], at, string(rune('a'+i)))
		switch {
		case i%10 == 8:
			e = author.event(5, at, "", nostr.Tag{"a", "10002:" + author.pubkey() + ":"})
		case i == 45:
			e = author.event(62, at, "", nostr.Tag{"relay", "ALL_RELAYS"})
		}
		r.Accept(e) // some are older than what is there
		check("a write", whole)
	}
	r.Keep(authors[3].event(30166, now, "", nostr.Tag{"d", "wss://index.example"}))
	for range 3 {
		r.Accept(authors[3].event(0, now, ""))
	}
	if n := check("the end", whole); n < 4 {
		t.Errorf("%d items are too few to tell", n)
	}
	check("a time", nostr.Filter{Kinds: whole.Kinds, Since: now - 990, Until: now - 900})
	for _, f := range []nostr.Filter{
		{},
		{Kinds: []int{10002}},
		{Kinds: []int{0, 5, 62, 10002, 30166}},
		{Kinds: whole.Kinds, Limit: 5},
		{Kinds: whole.Kinds, Authors: []string{authors[0].pubkey()}},
		{Kinds: whole.Kinds, Tags: map[string][]string{"d": {"x"}}},
	} {
		if r.store.whole.of([]nostr.Filter{f}) != nil {
			t.Errorf("the whole set answers %+v", f)
		}
	}
	if r.store.whole.of([]nostr.Filter{whole, whole}) != nil || newStore(t).whole.of([]nostr.Filter{whole}) != nil {
		t.Error("the whole set answers two filters, or is there where all kinds are kept")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = startConfig(t, Config{Path: path, Kinds: kinds})
	check("a restart", whole)
	// A session over it finds what is missing on either side.
	c := dial(t, r)
	mine := authors[3].event(10002, now-5, "not there")
	haves, needs := reconcileOurs(t, c, whole, []*nostr.Event{mine}, 0)
	if n := r.store.whole.of([]nostr.Filter{whole}).Len(); !slices.Equal(haves, []string{mine.ID}) || len(needs) != n {
		t.Errorf("have %v, need %d of %d", haves, len(needs), n)
	}
}
