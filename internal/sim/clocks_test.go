package sim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A clock was a year ahead for a while, and is right again: no stage waits for a
// year because of what was written down meanwhile.
func TestNothingWaitsForAYearAfterAClockThatWasAhead(t *testing.T) {
	inLiveWorld(t, func(w *world) {
		ahead := time.Now().Add(365 * 24 * time.Hour).Unix()
		alice, bob := user(w.T, "alice"), user(w.T, "bob")
		url, listed, hint := relayURL(1), relayURL(2), relayURL(3)

		put(w, contract.BucketRelays, nostr.RelayKey(url), contract.Relay{URL: url, Via: contract.ViaHint, Failures: 9, RetryAt: ahead})
		put(w, contract.BucketSyncs, nostr.RelayKey(url), contract.Sync{
			URL: url, Through: ahead, Live: ahead, Progress: &contract.SyncProgress{Begun: ahead, Done: []string{"x"}},
		})
		first := w.holds(url, alice, 5, 60)

		l := list(w.T, bob, 100, listed)
		w.onDHT(l)
		put(w, contract.BucketAuthors, bob.PublicKey(), contract.Author{
			DHTKey: hexOf(l.Item.Key[:]), DHTKeyBy: bob.PublicKey(), DHTKeyAt: 1, FirstSeen: ahead, LastSeen: ahead, NextResolve: ahead,
		})
		put(w, contract.BucketRelays, nostr.RelayKey(listed), contract.Relay{
			URL: listed, Via: contract.ViaHint, ProbedAt: ahead, ProbeFailures: 9, NextProbe: ahead,
		})

		lost := note(w.T, alice, "lost for a year")
		n := events.NoteMissing{EventID: lost.ID, Relays: []string{hint}}
		put(w, contract.BucketLost, n.Key(), contract.Lost{At: ahead, Until: ahead, Relays: []string{hint}, Why: "nobody has it"})
		w.at(hint, 0, lost)

		w.syncworker(nil)
		w.dhtworker(nil)
		w.fetcher(nil)
		w.discover(url, alice)
		w.sendEvent(note(w.T, bob, "bob is seen"))
		w.missing(n)
		time.Sleep(time.Hour)
		w.complete("the sync", first)
		if s := w.sync(url); s.Through == 0 || s.Through > time.Now().Unix() || s.Live > time.Now().Unix() {
			w.Errorf("the sync is remembered as %+v", s)
		}
		fresh := w.add(url, note(w.T, alice, "now"))
		time.Sleep(2 * time.Second)
		w.complete("live", fresh)
		if a := get[contract.Author](w, contract.BucketAuthors, bob.PublicKey()); a.NextResolve == 0 || a.LastSeen == 0 {
			w.Errorf("the author is remembered as %+v", a)
		}
		if w.dht.getsOf(hexOf(l.Item.Key[:])) == 0 || w.relays.seen(listed).probes == 0 {
			w.Error("the author was not looked up, or the relay of the list not probed")
		}
		if !slices.Contains(w.relays.ids(home), lost.ID) {
			w.Error("the note was not looked for")
		}
		w.noDeadLetters()
	})
}
