package sim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func inLiveWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	inWorld(t, func(w *world) {
		w.maxLive = 10
		w.ingest(nil)
		test(w)
	})
}

// add gives a relay an event now.
func (w *world) add(url string, e nostr.Event) []nostr.Event {
	w.relays.set(url, func(x *remote) { x.events = append(x.events, e) })
	return []nostr.Event{e}
}

func (w *world) subscribers(url string) int { return w.relays.seen(url).subscribers }

func TestWhatARelayReceivesArrivesAtOnceWhateverItsDate(t *testing.T) {
	inLiveWorld(t, func(w *world) {
		w.syncworker(nil)
		alice, url := user(w.T, "alice"), relayURL(1)
		first := w.holds(url, alice, 20, 60)
		w.discover(url, alice)
		time.Sleep(time.Minute)
		w.complete("the first sync", first)
		if n := w.subscribers(url); n != 1 {
			w.Fatalf("%d subscriptions", n)
		}
		fresh := w.add(url, note(w.T, alice, "now"))
		stranger := note(w.T, user(w.T, "stranger"), "not asked for")
		w.add(url, stranger)
		time.Sleep(2 * time.Second)
		w.complete("live", fresh)

		for _, age := range []time.Duration{11 * time.Minute, 30 * 24 * time.Hour, 20 * 365 * 24 * time.Hour} {
			old := w.add(url, sign(w.T, alice, nostr.Event{Kind: 1, CreatedAt: time.Now().Add(-age).Unix(), Content: "found in a drawer"}))
			time.Sleep(2 * time.Second)
			w.complete("an event as old as "+age.String(), old)
		}

		// A refusal without a word is one: it is not stored, and remembered.
		unsaid := note(w.T, alice, "refused without a word")
		w.relays.set(home, func(x *remote) {
			x.refuse = func(e nostr.Event) string { return map[string]string{unsaid.ID: wordless}[e.ID] }
		})
		w.add(url, unsaid)
		time.Sleep(2 * time.Second)
		if list := keys[contract.Refused](w, contract.BucketRefused, contract.RefusedKey(nostr.RelayKey(url), unsaid.ID)); len(list) != 1 {
			w.Errorf("remembered are %v", list)
		}

		// A subscription goes on for hours, and is written down.
		time.Sleep(6 * time.Hour)
		w.complete("after hours", w.addLater(url, note(w.T, alice, "later")))
		if s := w.sync(url); time.Now().Unix()-s.Live > 6*60 || s.Through == 0 {
			w.Errorf("progress is %+v", s)
		}
		time.Sleep(2 * time.Second)
		if n := w.subscribers(url); n != 1 {
			w.Errorf("%d subscriptions", n)
		}
		w.noDeadLetters()
	})
}

func TestAGapIsRepairedAtOnce(t *testing.T) {
	inLiveWorld(t, func(w *world) {
		w.syncEvery = 6 * time.Hour // no schedule helps
		w.syncworker(nil)
		alice, url := user(w.T, "alice"), relayURL(1)
		w.discover(url, alice)
		time.Sleep(10 * time.Minute)
		missed := sign(w.T, alice, nostr.Event{Kind: 1, CreatedAt: time.Now().Unix() - 24*3600, Content: "while the connection was cut"})
		w.relays.set(url, func(x *remote) { x.cuts, x.events = x.cuts+1, append(x.events, missed) })
		time.Sleep(time.Minute)
		w.complete("in the gap", []nostr.Event{missed})
		if n := w.subscribers(url); n != 1 {
			w.Errorf("%d subscriptions after the gap", n)
		}

		// The local relay fails for a while: what arrives is neither lost nor
		// the other relay's fault.
		w.relays.set(home, func(x *remote) { x.down = true })
		lost := w.add(url, note(w.T, alice, "while the local relay was down"))
		time.Sleep(30 * time.Second)
		w.relays.set(home, func(x *remote) { x.down = false })
		time.Sleep(5 * time.Minute)
		w.complete("when the local relay is back", lost)
		if r := w.health(url); r.Failures != 0 {
			w.Errorf("the relay is %+v", r)
		}
		w.noDeadLetters()
	})
}

// A subscription that was cut soon after it began is made again within seconds, and
// what came meanwhile is read; so is one that the relay ends for the moment.
func TestAShortSubscriptionIsMadeAgain(t *testing.T) {
	inLiveWorld(t, func(w *world) {
		w.syncEvery = 6 * time.Hour // no schedule helps
		w.syncworker(nil)
		alice, url := user(w.T, "alice"), relayURL(1)
		w.discover(url, alice)
		time.Sleep(20 * time.Second)
		for n := range 3 {
			missed := note(w.T, alice, fmt.Sprint("while the connection was cut ", n))
			w.relays.set(url, func(x *remote) { x.cuts, x.events = x.cuts+1, append(x.events, missed) })
			time.Sleep(6 * time.Second)
			w.complete("in the gap", []nostr.Event{missed})
			if n := w.subscribers(url); n != 1 {
				w.Errorf("%d subscriptions after the gap", n)
			}
		}
		w.noDeadLetters()
	})
}

// A relay that cuts every subscription is not asked in a loop.
func TestARelayThatCutsSubscriptionsIsSyncedOnSchedule(t *testing.T) {
	inLiveWorld(t, func(w *world) {
		w.syncworker(nil)
		alice, url := user(w.T, "alice"), relayURL(1)
		w.discover(url, alice)
		before := w.relays.seen(url).sessions
		for range 4 * 60 {
			time.Sleep(15 * time.Second)
			w.relays.set(url, func(x *remote) { x.cuts++ })
		}
		if n := w.relays.seen(url).sessions - before; n == 0 || n > 6 {
			w.Errorf("%d sessions of syncs in an hour, want those of the schedule", n)
		}
		w.noDeadLetters()
	})
}

func TestOneWorkerSubscribesAndAnotherTakesOver(t *testing.T) {
	inLiveWorld(t, func(w *world) {
		w.syncEvery = 6 * time.Hour
		first := w.syncworker(nil)
		alice, url := user(w.T, "alice"), relayURL(1)
		w.discover(url, alice)
		time.Sleep(time.Minute)
		second := w.syncworker(nil)
		w.discover(url, alice)
		time.Sleep(time.Minute)
		if n := w.subscribers(url); n != 1 {
			w.Fatalf("%d subscriptions of two workers", n)
		}
		began := time.Now()
		first.end(w.T)
		if took := time.Since(began); took > 5*time.Second {
			w.Errorf("the worker stops for %s", took)
		}
		time.Sleep(10 * time.Second)
		if n := w.subscribers(url); n != 1 {
			w.Errorf("%d subscriptions after one worker stopped", n)
		}

		// This one is killed: nothing that it has is given back.
		third := w.syncworker(nil)
		second.js.Conn().Close()
		<-second.done
		time.Sleep(time.Minute)
		w.complete("live after that", w.addLater(url, note(w.T, alice, "still here")))
		third.end(w.T)
		w.noDeadLetters()
	})
}

// addLater gives a relay an event, and waits until a subscription brings it.
func (w *world) addLater(url string, e nostr.Event) []nostr.Event {
	list := w.add(url, e)
	time.Sleep(5 * time.Second)
	return list
}

func TestTheProvenRelaysWithMostAuthorsAreFollowed(t *testing.T) {
	inLiveWorld(t, func(w *world) {
		w.maxLive = 2
		w.syncworker(nil)
		for i := range 4 {
			put(w, contract.BucketRelays, nostr.RelayKey(relayURL(i)),
				contract.Relay{URL: relayURL(i), Via: contract.ViaNIP65, Delivered: time.Now().Unix()})
			for a := range i + 1 {
				w.discover(relayURL(i), user(w.T, fmt.Sprint(i, a)))
				time.Sleep(5 * time.Second)
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(time.Hour)
		for i, want := range []int{0, 0, 1, 1} {
			if n := w.subscribers(relayURL(i)); n != want {
				w.Errorf("%d subscriptions with the relay of %d authors, want %d", n, i+1, want)
			}
		}
		// Who joins is followed as well.
		carol := user(w.T, "carol")
		w.discover(relayURL(3), carol)
		time.Sleep(20 * time.Minute)
		w.complete("of who joined", w.addLater(relayURL(3), note(w.T, carol, "hello")))
		w.noDeadLetters()
	})
}

// A live subscription ends within seconds for an author whose list is over, however
// they have said it, and goes on for the others.
func TestALiveSubscriptionEndsWithTheListThatAskedForIt(t *testing.T) {
	for name, over := range map[string]func(nostr.Event) nostr.Event{
		"an empty list": func(nostr.Event) nostr.Event { return nostr.Event{Kind: nostr.KindRelayList} },
		"a read list": func(nostr.Event) nostr.Event {
			return nostr.Event{Kind: nostr.KindRelayList, Tags: []nostr.Tag{{"r", relayURL(1), "read"}}}
		},
		"deleted": func(e nostr.Event) nostr.Event {
			return nostr.Event{Kind: nostr.KindDeletion, Tags: []nostr.Tag{{"a", "10002:" + e.PubKey + ":"}}}
		},
		"vanished": func(nostr.Event) nostr.Event {
			return nostr.Event{Kind: nostr.KindVanish, Tags: []nostr.Tag{{"relay", "ALL_RELAYS"}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inLiveWorld(t, func(w *world) {
				w.syncEvery = 6 * time.Hour // no schedule helps
				w.syncworker(nil)
				alice, bob, url := user(w.T, "alice"), user(w.T, "bob"), relayURL(1)
				list := nip65(w.T, alice, time.Now().Unix()-100, url)
				w.sendEvent(list, nip65(w.T, bob, time.Now().Unix()-100, url))
				time.Sleep(time.Minute)
				if n := w.subscribers(url); n != 1 {
					w.Fatalf("%d subscriptions", n)
				}
				end := over(list)
				end.CreatedAt = time.Now().Unix()
				w.sendEvent(sign(w.T, alice, end))
				time.Sleep(4 * time.Second)
				gone := w.add(url, note(w.T, alice, "where I write no more"))
				here := w.add(url, note(w.T, bob, "still here"))
				time.Sleep(2 * time.Second)
				w.complete("of the other author", here)
				if _, came := slices.BinarySearch(w.relays.ids(home), gone[0].ID); came {
					w.Error("an event came from where its author writes no more")
				}

				// Nobody is left.
				last := sign(w.T, bob, nostr.Event{Kind: nostr.KindRelayList, CreatedAt: time.Now().Unix()})
				w.sendEvent(last)
				time.Sleep(4 * time.Second)
				if n := w.subscribers(url); n != 0 {
					w.Errorf("%d subscriptions for nobody", n)
				}
				w.noDeadLetters()
			})
		})
	}
}

// Authors who join a relay that is followed are followed there within seconds, and many
// who join at once cost few subscriptions.
func TestWhoJoinsARelayThatIsFollowedIsFollowedSoon(t *testing.T) {
	inLiveWorld(t, func(w *world) {
		w.syncEvery = 6 * time.Hour // no schedule helps
		w.syncworker(nil)
		alice, bob, url := user(w.T, "alice"), user(w.T, "bob"), relayURL(1)
		w.sendEvent(nip65(w.T, alice, time.Now().Unix()-100, url))
		time.Sleep(time.Minute)
		for round := range 2 { // who leaves and comes back is a newcomer as well
			w.sendEvent(nip65(w.T, bob, time.Now().Unix(), url))
			time.Sleep(4 * time.Second)
			here := w.add(url, note(w.T, bob, fmt.Sprint("I write here, ", round)))
			here = append(here, w.add(url, note(w.T, alice, fmt.Sprint("so do I, ", round)))...)
			time.Sleep(2 * time.Second)
			w.complete("of who joined and who was there", here)
			w.sendEvent(nip65(w.T, bob, time.Now().Unix()))
			time.Sleep(2 * time.Second)
		}

		made := w.relays.seen(url).subscribed
		var joined []*schnorr.SecretKey
		for i := range 40 {
			joins := user(w.T, fmt.Sprint("author ", i))
			w.sendEvent(nip65(w.T, joins, time.Now().Unix(), url))
			time.Sleep(500 * time.Millisecond)
			joined = append(joined, joins)
		}
		time.Sleep(4 * time.Second)
		var here []nostr.Event
		for _, joins := range joined {
			here = append(here, w.add(url, note(w.T, joins, "me, too"))...)
		}
		time.Sleep(2 * time.Second)
		w.complete("of many who joined", here)
		if n := w.relays.seen(url).subscribed - made; n < 1 || n > 4 {
			w.Errorf("40 who joined within 20 s cost %d subscriptions", n)
		}
		w.noDeadLetters()
	})
}
