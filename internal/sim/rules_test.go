package sim_test

import (
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestTheOperatorsRulesSayWhatIsSynced(t *testing.T) {
	inWorld(t, func(w *world) {
		w.maxLive = 10
		mirror, some := relayURL(1), relayURL(2)
		w.ruled = map[string][]syncing.Rule{
			mirror: {{Direction: reconcile.Both, Named: true}},
			some: {
				{Direction: reconcile.Up, Named: true, Filter: nostr.Filter{Kinds: []int{7}}},
				{Direction: reconcile.Down, Writers: true, Filter: nostr.Filter{Kinds: []int{0}}},
			},
		}
		w.ingest(nil)
		w.syncworker(nil)
		alice, bob := user(w.T, "alice"), user(w.T, "bob")
		there := w.holds(mirror, alice, 5, 60)
		here := w.holds(home, bob, 5, 60)
		like, profile := sign(w.T, alice, nostr.Event{Kind: 7}), sign(w.T, bob, nostr.Event{Kind: 0})
		w.add(home, like)
		w.add(some, profile)
		w.add(some, note(w.T, bob, "not wanted"))
		w.add(some, sign(w.T, alice, nostr.Event{Kind: 0, Content: "of one who does not write there"}))
		w.sendEvent(nip65(w.T, bob, time.Now().Unix(), some))
		w.discover(mirror) // as Announce does: nobody writes there
		time.Sleep(time.Minute)
		w.complete("mirrored", there, []nostr.Event{profile})
		if n := len(w.relays.ids(mirror)); n < len(there)+len(here)+1 {
			w.Errorf("the mirror holds %d events", n)
		}
		if got := w.relays.seen(some).events; len(got) != 4 || got[3].ID != like.ID {
			w.Errorf("the relay of one kind holds %d events", len(got))
		}
		if n := len(w.relays.ids(home)); n != len(there)+len(here)+2 {
			w.Errorf("the local relay holds %d events", n)
		}
		if s := w.sync(mirror); s.Last.Sent < len(here)+1 || s.Last.Stored != len(there) {
			w.Errorf("the mirror's sync: %+v", s.Last)
		}
		w.complete("live", w.addLater(mirror, note(w.T, user(w.T, "anyone"), "mirrored live")))
		if n := len(w.schedules(contract.StreamSyncDue)); n != 2 {
			w.Errorf("%d schedules", n)
		}
		w.noDeadLetters()
	})
}

func TestMentionsComeFromTheRelaysWhereAuthorsRead(t *testing.T) {
	inWorld(t, func(w *world) {
		w.mentions = true
		w.ingest(nil)
		w.syncworker(nil)
		alice, stranger := user(w.T, "alice"), user(w.T, "stranger")
		read := relayURL(1)
		mention := note(w.T, stranger, "hello alice", nostr.Tag{"p", alice.PublicKey()})
		w.add(read, mention)
		w.add(read, note(w.T, stranger, "about something else"))
		w.add(read, note(w.T, alice, "alice does not write here"))
		list := sign(w.T, alice, nostr.Event{Kind: 10002, Tags: []nostr.Tag{{"r", read, "read"}, {"r", relayURL(2), "write"}}})
		w.sendEvent(list)
		time.Sleep(time.Minute)
		w.complete("mentions", []nostr.Event{mention})
		if n := len(w.relays.ids(home)); n != 1 {
			w.Errorf("the local relay holds %d events, want the mention", n)
		}
		// She reads elsewhere now.
		w.sendEvent(nip65(w.T, alice, time.Now().Unix(), relayURL(2)))
		time.Sleep(30 * time.Minute)
		before := len(w.relays.seen(read).times)
		time.Sleep(time.Hour)
		if n := len(w.relays.seen(read).times); n != before {
			w.Errorf("the relay where nobody reads any more was asked %d times", n-before)
		}
		w.noDeadLetters()
	})
}

// A relay that says OK and keeps nothing stands between no other two, be it the first
// of its group, and is written to no more; what it has itself goes to the others.
func TestAMirrorThatKeepsNothing(t *testing.T) {
	for i, place := range []string{"first", "last"} {
		inWorld(t, func(w *world) {
			liar, one, two := relayURL(1), relayURL(2), relayURL(3)
			group := []string{liar, one, two}
			if i > 0 {
				group = []string{one, two, liar}
			}
			w.ruled = map[string][]syncing.Rule{}
			for _, url := range group {
				w.ruled[url] = []syncing.Rule{{Direction: reconcile.Both, Group: group, Named: true}}
			}
			w.relays.set(liar, func(x *remote) { x.lies = keepsNothing })
			its := w.holds(liar, user(w.T, "alice"), 5, 60)
			ones := w.holds(one, user(w.T, "bob"), 20, 60)
			twos := w.holds(two, user(w.T, "carol"), 20, 60)
			w.ingest(nil)
			w.syncworker(nil)
			equal := func(want int) {
				w.Helper()
				for _, url := range []string{one, two} {
					if n := len(w.relays.ids(url)); n != want {
						w.Errorf("%s: %s holds %d events, want all %d", place, url, n, want)
					}
				}
			}
			for _, url := range group {
				w.discover(url)
			}
			time.Sleep(40 * time.Minute)
			equal(len(its) + len(ones) + len(twos))
			before := w.relays.seen(liar).written
			more := w.holds(one, user(w.T, "bob"), 30, 3600)
			time.Sleep(time.Hour)
			equal(len(its) + len(ones) + len(twos) + len(more))
			if n := w.relays.seen(liar).written; before > 40 || n > before {
				w.Errorf("%s: %d events were written to the liar at first, and %d later", place, before, n-before)
			}
			w.noDeadLetters()
		})
	}
}
