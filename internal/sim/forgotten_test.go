package sim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// One key that names other made-up hosts with each list, while syncs wait: those that it
// names no more, and that nobody ever asked, go after thirty days like those that never
// answered. One that somebody is linked to stays until it was asked.
func TestRelaysThatListsNameNoMoreAreForgotten(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.dhtworker(nil)
		mallory := user(w.T, "mallory")
		const lists = 10
		for i := range lists {
			var tags []nostr.Tag
			for j := range 5 {
				url := fmt.Sprintf("wss://host%d-%d.example", i, j)
				w.relays.set(url, func(x *remote) { x.down = true })
				tags = append(tags, nostr.Tag{"r", url})
			}
			w.sendEvent(sign(w.T, mallory, nostr.Event{Kind: nostr.KindRelayList, CreatedAt: time.Now().Unix() + int64(i), Tags: tags}))
		}
		time.Sleep(time.Minute)
		w.syncworker(nil) // which was busy
		time.Sleep(time.Hour)
		all := keys[contract.Relay](w, contract.BucketRelays, "*")
		for _, key := range all {
			r := get[contract.Relay](w, contract.BucketRelays, key)
			r.FirstSeen = time.Now().Add(-contract.ForgetAfter - time.Hour).Unix()
			put(w, contract.BucketRelays, key, r)
		}
		w.Publish(contract.RecordDueSubject("00"), nostr.Encode(contract.RecordDue{Slice: "00"}))
		time.Sleep(10 * time.Minute)
		kept := "wss://kept.example"
		put(w, contract.BucketRelays, nostr.RelayKey(kept), contract.Relay{URL: kept, Via: contract.ViaNIP65, FirstSeen: 1})
		put(w, contract.BucketLinks, contract.LinkKey(nostr.RelayKey(kept), mallory.PublicKey()), contract.Link{URL: kept})
		w.Publish(contract.RecordDueSubject("00"), nostr.Encode(contract.RecordDue{Slice: "00"}))
		time.Sleep(10 * time.Minute)
		if left := keys[contract.Relay](w, contract.BucketRelays, "*"); len(all) < 5 || !slices.Equal(left, []string{nostr.RelayKey(kept)}) {
			w.Errorf("%d of %d relays are left", len(left), len(all))
		}
		w.noDeadLetters()
	})
}
