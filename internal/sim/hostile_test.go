package sim_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// silent is the i-th URL of a host that never answers: a path, or a name of its own.
func silent(i int) string {
	if i%2 == 0 {
		return fmt.Sprintf("wss://relay.hostile.test/user/%d", i)
	}
	return fmt.Sprintf("wss://user%d.hostile.test", i)
}

// until waits until it holds, in driven time, and returns how long that took; most
// is how long it may take.
func (w *world) until(what string, most time.Duration, holds func() bool) {
	w.Helper()
	for began := time.Now(); !holds(); time.Sleep(time.Second) {
		if time.Since(began) > most {
			w.Errorf("%s: not after %s", what, most)
			return
		}
	}
}

// has reports whether the local relay has an event.
func (w *world) has(e nostr.Event) bool {
	for _, id := range w.relays.ids(home) {
		if id == e.ID {
			return true
		}
	}
	return false
}

func (w *world) silence(n int) {
	for i := range n {
		w.relays.set(silent(i), func(x *remote) { x.latency = 24 * time.Hour })
	}
}

// silentAddress is the same by addresses of one machine, which has a network of them.
func silentAddress(i int) string { return fmt.Sprintf("ws://[2a01:4f8:1:%x::1]", i+1) }

// Lists of fresh keys that name one host by 200 paths and names, or addresses, cost an
// honest relay's first sync nothing, though it has proved as little.
func TestASilentHostDelaysNoOtherSync(t *testing.T) {
	for _, silent := range []func(int) string{silent, silentAddress} {
		silentHostDelaysNoOtherSync(t, silent)
	}
}

func silentHostDelaysNoOtherSync(t *testing.T, silent func(int) string) {
	t.Helper()
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		mallory, alice := user(w.T, "mallory"), user(w.T, "alice")
		for i := range 200 {
			w.relays.set(silent(i), func(x *remote) { x.latency = 24 * time.Hour })
			w.discover(silent(i), mallory)
		}
		most := 0
		for range 60 {
			time.Sleep(time.Second)
			waiting := 0
			for i := range 200 {
				waiting += w.relays.seen(silent(i)).waiting
			}
			most = max(most, waiting)
		}
		kept := w.holds("wss://relay.honest.test", alice, 1, 1)
		w.discover("wss://relay.honest.test", alice)
		w.until("an honest author's event", 15*time.Second, func() bool { return w.has(kept[0]) })
		if most < 1 || most > 2 {
			w.Errorf("the silent host is asked %d times at once", most)
		}
		w.noDeadLetters()
	})
}

// Notes of three hundred references that nobody has made, with hints to one host.
func TestSilentHintsDelayNoOtherSearch(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fetcher(nil)
		w.silence(300)
		for i := range 300 {
			id := sha256.Sum256(fmt.Append(nil, i))
			w.missing(events.NoteMissing{EventID: hexOf(id[:]), Relays: []string{silent(i)}})
		}
		time.Sleep(time.Minute)
		note := w.holds("wss://relay.honest.test", user(w.T, "alice"), 1, 1)[0]
		w.missing(events.NoteMissing{EventID: note.ID, Relays: []string{"wss://relay.honest.test"}})
		w.until("an honest author's note", 15*time.Second, func() bool { return w.has(note) })
		w.noDeadLetters()
	})
}

// Forty lists of ten silent relays each.
func TestSilentListsDelayNoOtherLookUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.dhtworker(nil)
		w.silence(400)
		announce := func(name string, urls ...string) *schnorr.SecretKey {
			key := user(w.T, name)
			l := list(w.T, key, 100, urls...)
			w.onDHT(l)
			w.sendEvent(l.DHT)
			return key
		}
		for i := range 40 {
			var urls []string
			for j := range 10 {
				urls = append(urls, silent(10*i+j))
			}
			announce(fmt.Sprint("mallory ", i), urls...)
		}
		time.Sleep(time.Minute)
		alice := announce("alice", "wss://relay.honest.test")
		time.Sleep(time.Second)
		w.until("an honest author's look-up", 30*time.Second, func() bool {
			return get[contract.Author](w, contract.BucketAuthors, alice.PublicKey()).NextResolve > 0
		})
	})
}

// A relay that never answered goes after thirty days, with its links; one that has
// answered once stays, whatever became of it.
func TestRelaysThatNeverAnsweredAreForgotten(t *testing.T) {
	inWorld(t, func(w *world) {
		w.dhtworker(nil)
		author := user(w.T, "mallory").PublicKey()
		learn := func(r contract.Relay) (relay, link string) {
			r.FirstSeen, r.Via, r.Failures = time.Now().Add(time.Hour-contract.ForgetAfter).Unix(), contract.ViaNIP65, 9
			relay = nostr.RelayKey(r.URL)
			link = contract.LinkKey(relay, author)
			put(w, contract.BucketRelays, relay, r)
			put(w, contract.BucketLinks, link, contract.Link{URL: r.URL, Via: map[string]int64{contract.ViaNIP65: 1}})
			return relay, link
		}
		silent, silentLink := learn(contract.Relay{URL: silent(1)})
		honest, honestLink := learn(contract.Relay{URL: "wss://relay.honest.test", Answered: 1})
		kept := func(after time.Duration, want ...string) {
			time.Sleep(after)
			w.Publish(contract.RecordDueSubject("00"), nostr.Encode(contract.RecordDue{Slice: "00"}))
			time.Sleep(time.Minute)
			got := append(keys[contract.Relay](w, contract.BucketRelays, ">"), keys[contract.Link](w, contract.BucketLinks, ">")...)
			if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				w.Errorf("kept are %v, want %v", got, want)
			}
		}
		kept(0, silent, honest, silentLink, honestLink)
		kept(time.Hour, honest, honestLink)
	})
}

// Fresh keys whose lists name twenty relays of two hosts each, that never answer: what
// they leave in KV is bounded, and most of it goes after thirty days.
func TestFreshKeysLeaveLessInKVInTheEnd(t *testing.T) {
	const fresh = 40
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		w.dhtworker(nil)
		before := w.bytesInKV()
		for i := range fresh {
			w.listOfStranger(i, func(j int) string { return fmt.Sprintf("wss://relay%d.example/user/%d", j%2, j) })
		}
		most := func(most int) {
			w.Helper()
			if each := (w.bytesInKV() - before) / fresh; each > most {
				w.Errorf("KV has %d bytes for each fresh key, want %d at most", each, most)
			}
		}
		time.Sleep(10 * time.Minute)
		most(7 << 10)
		for _, key := range keys[contract.Relay](w, contract.BucketRelays, "*") {
			r := get[contract.Relay](w, contract.BucketRelays, key)
			r.FirstSeen = time.Now().Add(-contract.ForgetAfter - time.Hour).Unix()
			put(w, contract.BucketRelays, key, r)
		}
		w.Publish(contract.RecordDueSubject("00"), nostr.Encode(contract.RecordDue{Slice: "00"}))
		time.Sleep(10 * time.Minute) // until the markers of what was removed are gone
		most(5 << 8)
		w.noDeadLetters()
	})
}

// Relays that their host has no room for, or that have made room there, leave nothing in
// KV: no links of those who name them, and nothing of syncs.
func TestRelaysWithoutRoomLeaveNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		w.dhtworker(nil)
		for i := range 2 {
			w.listOfStranger(i, func(j int) string { return silent(20*i + j) })
		}
		time.Sleep(40 * time.Minute)
		for name, n := range map[string]int{
			"relays": len(keys[contract.Relay](w, contract.BucketRelays, ">")),
			"links":  len(keys[contract.Link](w, contract.BucketLinks, ">")),
			"syncs":  len(keys[contract.Sync](w, contract.BucketSyncs, ">")),
		} {
			if n > hosts.MaxURLs {
				w.Errorf("bucket %s has %d values about the 40 relays of one host, want %d at most", name, n, hosts.MaxURLs)
			}
		}
		w.noDeadLetters()
	})
}

// listOfStranger brings a list of a fresh key with twenty relays, which are down.
func (w *world) listOfStranger(i int, url func(j int) string) {
	var tags []nostr.Tag
	for j := range 20 {
		w.relays.set(url(j), func(x *remote) { x.down = true })
		tags = append(tags, nostr.Tag{"r", url(j)})
	}
	w.sendEvent(sign(w.T, user(w.T, fmt.Sprint("mallory ", i)), nostr.Event{
		Kind: nostr.KindRelayList, CreatedAt: time.Now().Unix(), Tags: tags,
	}))
}

// bytesInKV is what all buckets hold.
func (w *world) bytesInKV() (sum int) {
	for _, b := range contract.Buckets() {
		sum += int(w.State("KV_" + b.Name).Bytes)
	}
	return sum
}
