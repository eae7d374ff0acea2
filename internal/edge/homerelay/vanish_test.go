package homerelay

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A request to vanish removes all that its author wrote up to then, deletions too, and
// what was wrapped for them; nothing of it comes back, and all else stays (NIP-62).
func TestVanish(t *testing.T) {
	r := startRelay(t, "")
	r.store.urls = append(r.store.urls, "wss://relay.example.com/nostr")
	for _, relay := range []string{
		"ALL_RELAYS", r.URL(), r.URL() + "/", "WS://LOCALHOST:" + r.URL()[len("ws://127.0.0.1:"):], "wss://relay.example.com/nostr/",
	} {
		gone, other := newSigner(t), newSigner(t)
		at := time.Now().Unix() - 100
		toGone := nostr.Tag{"p", gone.pubkey()}
		note := gone.event(1, at-50, "a note")
		before := []*nostr.Event{
			note, gone.event(0, at-1, "{}"), gone.event(30023, at, "", nostr.Tag{"d", "x"}),
			gone.event(5, at-2, "", nostr.Tag{"e", other.event(1, at, "").ID}),
			gone.event(4, at-3, "", nostr.Tag{"p", other.pubkey()}), other.event(1059, at-4, "", nostr.Tag{"p", other.pubkey()}, toGone),
			gone.event(1, 0, "the first"),
		}
		after := []*nostr.Event{
			gone.event(1, at+1, "still here"), other.event(1, at-10, "to who has gone", toGone), other.event(1059, at+1, "", toGone),
			other.event(1059, at-1, "", nostr.Tag{"p", other.pubkey()}), other.event(4, at-1, "", toGone),
			gone.event(62, at-60, "", nostr.Tag{"relay", "wss://elsewhere.example"}),
		}
		mustInsert(t, r.store, append(before, after...)...)
		request := gone.event(62, at, "goodbye", nostr.Tag{"relay", "wss://elsewhere.example"}, nostr.Tag{"relay", relay})
		c := dialRaw(t, r.URL())
		c.sendEvent("EVENT", request)
		c.expect("OK", request.ID, true)
		want := []string{request.ID}
		for _, e := range after {
			want = append(want, e.ID)
		}
		authors := []string{gone.pubkey(), other.pubkey()}
		if got := sorted(idsOf(t, r.store, nostr.Filter{Authors: authors})); !slices.Equal(got, sorted(want)) {
			t.Errorf("%s: after the request there are %v, want %v", relay, got, sorted(want))
		}
		for _, e := range append(before, gone.event(1, at, "never stored"), gone.event(5, at, "", nostr.Tag{"e", request.ID})) {
			c.sendEvent("EVENT", e)
			c.expect("OK", e.ID, false, "blocked: …")
		}
		// Nor does a later deletion of the request undo it, and an older one changes nothing.
		for _, e := range []*nostr.Event{
			gone.event(5, at+2, "", nostr.Tag{"e", request.ID}), gone.event(62, at-90, "", nostr.Tag{"relay", relay}),
		} {
			c.sendEvent("EVENT", e)
			c.expect("OK", e.ID, true)
		}
		c.sendEvent("EVENT", note)
		c.expect("OK", note.ID, false, "blocked: …")
		if got := idsOf(t, r.store, nostr.Filter{IDs: []string{request.ID}}); len(got) != 1 {
			t.Errorf("%s: the request itself is not stored", relay)
		}
	}
}

// A request that is not to this relay is an event like any other; one to none is no
// request.
func TestVanishFromElsewhere(t *testing.T) {
	r := startRelay(t, "")
	author, at := newSigner(t), time.Now().Unix()
	note := author.event(1, at-10, "")
	mustInsert(t, r.store, note)
	c := dialRaw(t, r.URL())
	for _, relay := range []string{"wss://relay.example.com", "all_relays", "", r.URL() + "1", "ws://127.0.0.1", "wss://x/?u=" + r.URL()} {
		e := author.event(62, at, relay, nostr.Tag{"relay", relay}, nostr.Tag{"relay"}, nostr.Tag{"r", "ALL_RELAYS"})
		c.sendEvent("EVENT", e)
		c.expect("OK", e.ID, true)
	}
	for _, kind := range []int{5, 1, 63} {
		e := author.event(kind, at, "", nostr.Tag{"relay", "ALL_RELAYS"})
		c.sendEvent("EVENT", e)
		c.expect("OK", e.ID, true)
	}
	if got := idsOf(t, r.store, nostr.Filter{IDs: []string{note.ID}}); len(got) != 1 {
		t.Error("the note is gone")
	}
}

// A removal of more than one step that a crash has cut short ends with the next start.
func TestVanishAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	author := newSigner(t)
	var all []*nostr.Event
	for i := range 2*vanishStep + 10 {
		e := &nostr.Event{Kind: 1, PubKey: author.pubkey(), CreatedAt: int64(1000 + i/3), Content: strconv.Itoa(i), Tags: []nostr.Tag{}}
		e.ID = e.Hash()
		all = append(all, e)
	}
	insertAll(t, s, all)
	newest := all[len(all)-1].CreatedAt
	r, err := newRecord(author.event(62, newest-1, "", nostr.Tag{"relay", "ALL_RELAYS"}))
	if err != nil {
		t.Fatal(err)
	}
	// What Insert does first.
	err = s.db.Update(func(tx *bbolt.Tx) error {
		st := &step{tx: tx, pages: stepPages}
		return errors.Join(markVanished(tx, r), st.put(r, nostr.Encode(r.event)))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = openStore(path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := idsOf(t, s, nostr.Filter{Kinds: []int{1}, Until: newest - 1}); len(got) > 0 {
		t.Errorf("%d events are left", len(got))
	}
	if got := len(idsOf(t, s, nostr.Filter{Kinds: []int{1}})); got == 0 || got > 3 {
		t.Errorf("%d events are left that are newer than the request, want 1 to 3", got)
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		if mark := tx.Bucket(vanished).Get(r.pubkey[:]); len(mark) != 8 {
			t.Errorf("the mark is %x, want that nothing is left to do", mark)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
