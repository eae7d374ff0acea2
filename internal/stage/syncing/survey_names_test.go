package syncing

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The domain that a profile names is asked once a week; the relays that it gives become known,
// and the survey asks them.
func TestNamesLeadToRelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "wss://named.example.com"
		w := newTown(t, alice, bob)
		w.open(url, alice)
		clear(w.relays.Of)
		for pubkey, content := range map[string]string{alice: `{"nip05":"alice@example.com"}`, bob: `{"nip05":7}`} {
			e := nostr.Event{PubKey: pubkey, Kind: kindProfile, CreatedAt: 1, Content: content}
			e.ID = e.Hash()
			w.shops[townHall].events[e.ID] = e
		}
		var mu sync.Mutex
		asked := map[string]int{}
		w.Survey.Named = func(_ context.Context, name, pubkey string) ([]string, error) {
			mu.Lock()
			defer mu.Unlock()
			asked[name+" "+pubkey]++
			return []string{url}, nil
		}
		w.hours(15 * 24)
		if n := asked["alice@example.com "+alice]; n < 2 || n > 3 || len(asked) != 1 {
			t.Errorf("asked in two weeks: %v", asked)
		}
		if r := w.relays.Of[nostr.RelayKey(url)]; r.Via != contract.ViaHint {
			t.Errorf("known is %+v", r)
		}
		if n := w.shops[townHall].count(); n != 20+2 {
			t.Errorf("the local relay has %d of alice's 20 and two profiles", n)
		}
	})
}

// Keys that are made for one turn get no more of it than there is room for, and every key has
// one turn a week.
func TestTurnsOfNamesAreBounded(t *testing.T) {
	var keys []string
	for i := range 500 {
		keys = append(keys, fmt.Sprintf("%064x", i*168))
	}
	now := time.Unix(0, 0)
	if n := len(nameTurn(keys, now)); n != maxNames {
		t.Errorf("%d of 500 in one turn", n)
	}
	turns := 0
	for range 168 {
		turns += len(nameTurn([]string{alice}, now))
		now = now.Add(time.Hour)
	}
	if turns != 1 {
		t.Errorf("%d turns a week", turns)
	}
}
