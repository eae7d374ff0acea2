package sim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What the local relay refuses, what our rules keep back and what its author
// deleted is fetched once, then remembered until that expires, and a deleted
// event is never written again.
func TestWhatIsRefusedIsNotFetchedAgainAndNothingDeletedComesBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		alice := user(w.T, "alice")
		url := relayURL(1)
		good := w.holds(url, alice, 5, 60)
		blocked, spam := note(w.T, alice, "blocked"), note(w.T, alice, "spam")
		protected, deleted := note(w.T, alice, "protected", nostr.Tag{"-"}), note(w.T, alice, "deleted")
		future := sign(w.T, alice, nostr.Event{Kind: 1, CreatedAt: time.Now().Unix() + 2*3600})
		deletion := sign(w.T, alice, nostr.Event{Kind: 5, Tags: []nostr.Tag{{"e", deleted.ID}}})
		w.relays.set(url, func(x *remote) { x.events = append(x.events, blocked, spam, protected, deleted, future) })
		var writes []string
		w.relays.set(home, func(x *remote) {
			x.events = append(x.events, deletion)
			x.refuse = func(e nostr.Event) string {
				writes = append(writes, e.ID)
				switch e.ID {
				case blocked.ID:
					return "blocked: by policy"
				case spam.ID:
					return "invalid: spam"
				}
				return ""
			}
		})
		w.discover(url, alice)
		time.Sleep(6 * time.Hour)
		w.complete("the others", good, []nostr.Event{future})
		asked := func(e nostr.Event) int { return w.relays.seen(url).asked[e.ID] }
		for what, e := range map[string]nostr.Event{"blocked": blocked, "spam": spam, "protected": protected, "deleted": deleted} {
			if n := asked(e); n != 1 {
				w.Errorf("%s was fetched %d times in 6 hours, want once", what, n)
			}
		}
		if n := asked(future); n < 2 || n > 4 {
			w.Errorf("an event of the future was fetched %d times, want about once an hour until its time came", n)
		}
		if list := keys[contract.Refused](w, contract.BucketRefused, contract.RefusedKey(nostr.RelayKey(url), "*")); len(list) != 4 {
			w.Errorf("remembered are %d: %v", len(list), list)
		}
		s := w.sync(url)
		if !s.Last.OK || s.Last.Refused != 4 || s.Last.Stored != 0 {
			w.Errorf("the last sync is remembered as %+v", s.Last)
		}

		// Policies change: what is one is tried again after a day, the rest later.
		time.Sleep(20 * time.Hour)
		for what, try := range map[string]struct {
			e    nostr.Event
			want int
		}{"blocked": {blocked, 2}, "spam": {spam, 1}, "deleted": {deleted, 1}} {
			if n := asked(try.e); n != try.want {
				w.Errorf("%s was fetched %d times in 26 hours, want %d", what, n, try.want)
			}
		}
		if all := strings.Join(writes, " "); strings.Contains(all, deleted.ID) || strings.Contains(all, protected.ID) {
			w.Error("a deleted or a protected event was offered to the local relay")
		}
		w.noDeadLetters()
	})
}
