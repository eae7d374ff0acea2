package sim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
)

// Fresh keys with lists to be put and keys to be looked up, more than the DHT takes in
// minutes: who has been here for a week waits for none of them.
func TestFreshKeysDelayNoKnownUserOnTheDHT(t *testing.T) {
	const fresh = 100
	inWorld(t, func(w *world) {
		w.dht.set(func(n *network) { n.latency = 10 * time.Second })
		w.ingest(nil)
		w.dhtworker(nil)
		alice := user(w.T, "alice")
		put(w, contract.BucketAuthors, alice.PublicKey(), contract.Author{
			FirstSeen: time.Now().Add(-contract.LongHere - time.Hour).Unix(), LastSeen: time.Now().Unix(),
		})
		for i := range fresh {
			w.sendEvent(list(w.T, user(w.T, fmt.Sprint("mallory ", i)), 100, relayURL(i%8)).DHT)
		}
		time.Sleep(20 * time.Second)
		l := list(w.T, alice, 100, relayURL(1))
		w.sendEvent(l.DHT)
		w.until("a known user's record", time.Minute, func() bool { return len(w.dht.putsOf(stage.TargetHex(l.Item))) > 0 })
		w.until("a known user's look-up", time.Minute, func() bool {
			return get[contract.Author](w, contract.BucketAuthors, alice.PublicKey()).NextResolve > time.Now().Unix()
		})
	})
}
