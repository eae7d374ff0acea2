package sim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// In a cluster a copy of KV may answer that does not have yet what was written
// before the message was sent.
func TestARelayIsNotGivenUpForLinksThatKVDoesNotShowYet(t *testing.T) {
	inWorld(t, func(w *world) {
		w.syncworker(nil)
		alice, url := user(w.T, "alice"), relayURL(1)
		key := events.RelayKey(url)
		notes := w.holds(url, alice, 3, 60)
		due := []string{events.PrefixSchedule + events.SyncDueSubject(key)}
		w.send(events.RelayDiscoveredSubject(key), events.Encode(events.RelayDiscovered{URL: url}))
		time.Sleep(4 * time.Second)
		if list := w.schedules(events.StreamSyncDue); !slices.Equal(list, due) {
			w.Errorf("scheduled while the links are not there yet: %v", list)
		}
		put(w, events.BucketLinks, events.LinkKey(key, alice.PublicKey()), events.Link{URL: url, Via: map[string]int64{events.ViaNIP65: 1}})
		time.Sleep(time.Minute)
		w.complete("once the links are there", notes)
		if list := w.schedules(events.StreamSyncDue); !slices.Equal(list, due) {
			w.Errorf("scheduled afterwards: %v", list)
		}
		w.noLetters()
	})
}

func TestALiveSubscriptionWaitsForTheSyncThatAskedForIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.maxLive = 1
		w.syncworker(nil)
		alice, url := user(w.T, "alice"), relayURL(1)
		key := events.RelayKey(url)
		put(w, events.BucketLinks, events.LinkKey(key, alice.PublicKey()), events.Link{URL: url, Via: map[string]int64{events.ViaNIP65: 1}})
		put(w, events.BucketSyncs, key, events.Sync{URL: url, Failures: 1})
		w.send(events.LiveDueSubject(key), events.Encode(events.LiveDue{URL: url}))
		time.Sleep(4 * time.Second)
		if n := w.subscribers(url); n != 0 {
			w.Errorf("%d subscriptions with a relay whose last sync failed", n)
		}
		put(w, events.BucketSyncs, key, events.Sync{URL: url, Through: time.Now().Unix()})
		time.Sleep(time.Minute)
		if n := w.subscribers(url); n != 1 {
			w.Errorf("%d subscriptions once the sync is seen to have gone well", n)
		}
		w.noLetters()
	})
}
