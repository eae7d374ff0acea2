package sim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// knows checks whether anything of an author is in KV.
func (w *world) knows(what string, author *schnorr.SecretKey, target string, want bool) {
	w.Helper()
	pubkey := author.PublicKey()
	for in, found := range map[string]bool{
		"authors": slices.Contains(keys[contract.Author](w, contract.BucketAuthors, "*"), pubkey),
		"records": len(keys[contract.Record](w, contract.BucketRecords, "*."+target)) > 0,
		"links":   len(w.links(pubkey)) > 0,
	} {
		if found != want {
			w.Errorf("%s: %s has them is %t", what, in, found)
		}
	}
}

// What the operator denies is in no stage's hands: an author, an event, a host and
// a word, whoever brings them and by whatever way, from the moment that the list
// changes until it changes back.
func TestWhatIsDeniedIsNotFetchedStoredSentOrAnnounced(t *testing.T) {
	inWorld(t, func(w *world) {
		w.denied = &deny.Lists{}
		good, bad, mirror := relayURL(1), relayURL(2), relayURL(3)
		w.ruled = map[string][]syncing.Rule{mirror: {{Direction: reconcile.Both, Named: true}}}
		w.ingest(nil)
		w.dhtworker(nil)
		w.syncworker(nil)
		w.fetcher(nil)
		alice, mallory := user(w.T, "alice"), user(w.T, "mallory")
		now := time.Now().Unix()
		hers := list(w.T, mallory, now, good)
		target := stage.TargetHex(hers.Item)
		w.scheduleOnly(target)
		before := w.holds(good, mallory, 2, 60)
		carol := list(w.T, user(w.T, "carol"), now, good) // of whom the DHT key alone is denied
		kept := stage.TargetHex(carol.Item)
		w.sendEvent(hers.DHT, carol.DHT, nip65(w.T, alice, now, good, bad))
		time.Sleep(20 * time.Minute)
		w.complete("before", before)
		w.knows("before", mallory, target, true)
		w.health(bad)
		if len(w.dht.putsOf(target)) == 0 || w.relays.seen(bad).sessions == 0 {
			w.Fatal("nothing was there to be denied")
		}

		byID, casino := note(w.T, alice, "denied by its id"), note(w.T, alice, "Come to the CASINO!")
		w.denied.Set(deny.NewList(
			deny.Entry{What: deny.Key, Value: mallory.PublicKey()}, deny.Entry{What: deny.ID, Value: byID.ID},
			deny.Entry{What: deny.Host, Value: "relay2.example.com"}, deny.Entry{What: deny.Word, Value: "casino"},
			deny.Entry{What: deny.Kind, Value: "1984"}, deny.Entry{What: deny.Key, Value: hexOf(carol.Item.Key[:])},
		))
		time.Sleep(30 * time.Minute) // syncs of the bad relay are on schedule until one is due
		w.knows("denied", mallory, target, false)
		if got := keys[contract.Record](w, contract.BucketRecords, "*."+kept); len(got) > 0 {
			w.Errorf("the record of a denied DHT key is kept: %v", got)
		}
		if got := w.links(alice.PublicKey()); !slices.Equal(got, []string{good}) {
			w.Errorf("links of another author are %v", got)
		}
		for bucket, got := range map[string][]string{
			contract.BucketRelays: keys[contract.Relay](w, contract.BucketRelays, "*"),
			contract.BucketSyncs:  keys[contract.Sync](w, contract.BucketSyncs, "*"),
		} {
			if slices.Contains(got, nostr.RelayKey(bad)) {
				w.Errorf("bucket %s has the denied relay", bucket)
			}
		}

		// Everything comes again, and some more.
		sessions, puts := w.relays.seen(bad).sessions, len(w.dht.putsOf(target))
		again := w.holds(good, mallory, 2, 30)
		report := sign(w.T, alice, nostr.Event{Kind: 1984})
		fine := note(w.T, alice, "fine")
		w.relays.set(good, func(x *remote) { x.events = append(x.events, byID, casino, report, fine) })
		lost := note(w.T, mallory, "asked for by its id")
		w.relays.set(good, func(x *remote) { x.events = append(x.events, lost) })
		w.discover(bad, alice)
		w.discover(good, mallory)
		w.discover(mirror)
		w.sendEvent(list(w.T, mallory, now+1, good).DHT, nip65(w.T, alice, now+1, bad, good), note(w.T, mallory, "here I am"))
		w.Publish(events.SubjectAuthorSeen, nostr.Encode(events.AuthorSeen{PubKey: mallory.PublicKey(), Relays: []string{good}}))
		for _, e := range []nostr.Event{byID, lost} {
			w.missing(events.NoteMissing{EventID: e.ID, Relays: []string{good, bad}})
		}
		time.Sleep(2 * time.Hour)
		w.knows("denied, and said again", mallory, target, false)
		w.complete("not denied", []nostr.Event{fine})
		at := w.relays.ids(home)
		up := w.relays.ids(mirror)
		for what, list := range map[string][]nostr.Event{"key": append(again, lost), "id": {byID}, "word": {casino}, "kind": {report}} {
			for _, e := range list {
				if slices.Contains(at, e.ID) || slices.Contains(up, e.ID) {
					w.Errorf("denied by %s: the event was written", what)
				}
			}
		}
		if !slices.Contains(up, fine.ID) || slices.Contains(up, before[0].ID) {
			w.Errorf("sent are %v, want %s and not %s, which was stored before", up, fine.ID, before[0].ID)
		}
		if x := w.relays.seen(bad); x.sessions != sessions || len(x.asked) > 0 {
			w.Errorf("the denied relay was talked to: %d sessions more, asked for %v", x.sessions-sessions, x.asked)
		}
		if n := w.relays.seen(good).asked[byID.ID]; n != 0 {
			w.Errorf("an event that is denied by its id was asked for %d times", n)
		}
		if n := len(w.dht.putsOf(target)); n != puts {
			w.Errorf("the record was put %d times more", n-puts)
		}
		answer, err := w.service().Resolve(w.Context(), events.ResolveRequest{PubKey: mallory.PublicKey(), DHTKey: hexOf(hers.Item.Key[:])})
		if err != nil || answer.Found || answer.Why == "" {
			w.Errorf("resolved %+v, %v", answer, err)
		}
		for _, r := range outcomes[events.RelayDiscovered](w, events.SubjectRelayDiscovered) {
			if r.URL == bad {
				w.Errorf("announced: %+v", r)
			}
		}

		w.denied.Set(nil)
		w.sendEvent(list(w.T, mallory, now+2, good).DHT)
		time.Sleep(time.Hour)
		w.knows("denied no more", mallory, target, true)
		w.complete("denied no more", again)
		w.noDeadLetters()
	})
}
