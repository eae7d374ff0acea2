package homerelay

import (
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What is denied gets in no more, goes if it is there, and does not come back;
// what is denied no more is taken in again.
func TestDeniedEvents(t *testing.T) {
	var denied deny.Lists
	r := startConfig(t, Config{Denied: &denied})
	r.log = slog.New(slog.DiscardHandler) // it tells how many events it has deleted
	c, alice, mallory := dial(t, r), newSigner(t), newSigner(t)
	now := time.Now().Unix()
	kept, hers := alice.event(1, now, "hello"), mallory.event(1, now, "hello")
	odd, said, named := alice.event(1984, now, ""), alice.event(1, now, "Buy followers"), alice.event(1, now, "by id")
	list, newer := alice.event(10002, now-1, ""), alice.event(10002, now, "buy followers")
	repost := alice.event(6, now, string(nostr.Encode(hers)))
	old := []*nostr.Event{hers, odd, said, named, repost}
	for _, e := range append(slices.Clone(old), kept, list) {
		mustPublish(t, c, e)
	}
	many := func(tx *bbolt.Tx) error { // several steps
		for i := range 2 * purgeStep {
			e := &nostr.Event{PubKey: mallory.pubkey(), Kind: 1, CreatedAt: now, Content: strconv.Itoa(i)}
			e.ID = e.Hash()
			record, err := newRecord(e)
			if err != nil {
				return err
			}
			if _, err := r.store.insert(&step{tx: tx, pages: stepPages}, record, nostr.Encode(e)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := r.store.db.Update(many); err != nil {
		t.Fatal(err)
	}
	denied.Set(deny.NewList(
		deny.Entry{What: deny.Key, Value: mallory.pubkey()}, deny.Entry{What: deny.Kind, Value: "1984"},
		deny.Entry{What: deny.Word, Value: "buy followers"}, deny.Entry{What: deny.ID, Value: named.ID},
	))
	if err := r.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := func() []string { return queryIDs(t, c, nostr.Filter{}) }
	want := sorted([]string{kept.ID, list.ID})
	if got := left(); !slices.Equal(got, want) {
		t.Errorf("left are %d events: %v, want %v", len(got), got, want)
	}
	for _, e := range append(slices.Clone(old), newer, mallory.event(20001, now, "passed on")) {
		reply, err := c.Publish(t.Context(), *e)
		if err != nil || reply.Kept() || !strings.HasPrefix(reply.Reason.Text, "blocked: it is on a deny list") {
			t.Errorf("kind %d: %+v, %v", e.Kind, reply, err)
		}
	}
	if got := left(); !slices.Equal(got, want) {
		t.Errorf("came back: %v, want %v", got, want)
	}
	denied.Set(nil)
	if err := r.Purge(t.Context()); err != nil {
		t.Error(err)
	}
	mustPublish(t, c, hers)
	if got := left(); !slices.Contains(got, hers.ID) {
		t.Error("what is denied no more is not taken in")
	}
}
