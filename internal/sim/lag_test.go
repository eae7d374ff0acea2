package sim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// In a cluster a copy of KV may answer that does not have yet what was written
// before the message was sent.
func TestARelayIsNotGivenUpForLinksThatKVDoesNotShowYet(t *testing.T) {
	inWorld(t, func(w *world) {
		w.syncworker(nil)
		alice, url := user(w.T, "alice"), relayURL(1)
		key := nostr.RelayKey(url)
		notes := w.holds(url, alice, 3, 60)
		due := []string{contract.PrefixSchedule + contract.SyncDueSubject(key)}
		w.Publish(contract.RelayDiscoveredSubject(key), nostr.Encode(events.RelayDiscovered{URL: url}))
		time.Sleep(4 * time.Second)
		if list := w.schedules(contract.StreamSyncDue); !slices.Equal(list, due) {
			w.Errorf("scheduled while the links are not there yet: %v", list)
		}
		put(w, contract.BucketLinks, contract.LinkKey(key, alice.PublicKey()),
			contract.Link{URL: url, Via: map[string]int64{contract.ViaNIP65: 1}})
		time.Sleep(time.Minute)
		w.complete("once the links are there", notes)
		if list := w.schedules(contract.StreamSyncDue); !slices.Equal(list, due) {
			w.Errorf("scheduled afterwards: %v", list)
		}
		w.noDeadLetters()
	})
}

func TestALiveSubscriptionWaitsForTheSyncThatAskedForIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.maxLive = 1
		w.syncworker(nil)
		alice, url := user(w.T, "alice"), relayURL(1)
		key := nostr.RelayKey(url)
		put(w, contract.BucketLinks, contract.LinkKey(key, alice.PublicKey()),
			contract.Link{URL: url, Via: map[string]int64{contract.ViaNIP65: 1}})
		put(w, contract.BucketSyncs, key, contract.Sync{URL: url, Failures: 1})
		w.Publish(contract.LiveDueSubject(key), nostr.Encode(contract.LiveDue{URL: url}))
		time.Sleep(4 * time.Second)
		if n := w.subscribers(url); n != 0 {
			w.Errorf("%d subscriptions with a relay whose last sync failed", n)
		}
		put(w, contract.BucketSyncs, key, contract.Sync{URL: url, Through: time.Now().Unix()})
		time.Sleep(time.Minute)
		if n := w.subscribers(url); n != 1 {
			w.Errorf("%d subscriptions once the sync is seen to have gone well", n)
		}
		w.noDeadLetters()
	})
}

// keeps writes the record of a list to KV, and returns its target.
func (w *world) keeps(l run.SignedList) (target string) {
	target = stage.TargetHex(l.Item)
	record := contract.Record{PubKey: l.DHT.PubKey}
	stage.SetItem(&record, l.Item)
	put(w, contract.BucketRecords, contract.RecordKey(target), record)
	return target
}

// The message about the newer one may have been replaced by a later one about
// the older.
func TestARecordThatComesWhileAnOlderIsPutIsPutAfterIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.dhtworker(nil)
		w.dht.set(func(n *network) { n.latency = 5 * time.Second })
		alice := user(w.T, "alice")
		old, l := list(w.T, alice, 99, relayURL(1)), list(w.T, alice, 100, relayURL(1))
		target := w.keeps(old)
		w.Publish(contract.RelayListSignedSubject(target), nostr.Encode(events.RelayListSigned{Seq: 99}))
		time.Sleep(time.Second)
		w.keeps(l)
		time.Sleep(time.Minute)
		w.dht.set(func(n *network) {
			if seq := n.items[target].Seq; seq != 100 {
				w.Errorf("seq %d is on the DHT, want 100", seq)
			}
		})
		w.noDeadLetters()
	})
}

// In a cluster a copy of KV may answer that does not have yet what was written
// before the wake-up was sent.
func TestAWakeUpWaitsForTheRecordAndTheAuthorThatItIsAbout(t *testing.T) {
	inWorld(t, func(w *world) {
		w.dhtworker(nil)
		alice := user(w.T, "alice")
		old, l := list(w.T, alice, 99, relayURL(1)), list(w.T, alice, 100, relayURL(1))
		target := w.keeps(old)
		w.Publish(contract.RelayListSignedSubject(target), nostr.Encode(events.RelayListSigned{Seq: 100}))
		w.Publish(contract.AuthorSeenSubject(alice.PublicKey()), nostr.Encode(events.AuthorSeen{PubKey: alice.PublicKey()}))
		time.Sleep(4 * time.Second)
		if n := len(w.dht.putsOf(target)); n != 0 {
			w.Errorf("a record that is older than the message says was put %d times", n)
		}
		w.keeps(l)
		put(w, contract.BucketAuthors, alice.PublicKey(), contract.Author{})
		time.Sleep(time.Minute)
		if n := len(w.dht.putsOf(target)); n != 1 {
			w.Errorf("the record was put %d times, want once", n)
		}
		key := hexOf(l.Item.Key[:])
		w.Publish(contract.AuthorSeenSubject(alice.PublicKey()), nostr.Encode(events.AuthorSeen{PubKey: alice.PublicKey(), DHTKey: key}))
		time.Sleep(4 * time.Second)
		put(w, contract.BucketAuthors, alice.PublicKey(), contract.Author{DHTKey: key})
		time.Sleep(time.Minute)
		if n := w.dht.getsOf(key); n != 1 {
			w.Errorf("the author was looked up %d times under the key that the message names, want once", n)
		}
		w.noDeadLetters()
		w.Publish(contract.AuthorSeenSubject(user(w.T, "bob").PublicKey()), []byte("{}"))
		time.Sleep(5 * time.Minute)
		if n := len(w.DeadLetters()); n != 1 {
			w.Errorf("%d dead letters about an author who never appears, want 1", n)
		}
	})
}
