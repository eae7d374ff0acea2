package sim_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// indexes are the list indexes of a world: what they have of whom.
type indexes struct {
	mu    sync.Mutex
	lists map[string]nostr.Event
	asked map[string]int
	away  bool
}

func newIndexes(list ...nostr.Event) *indexes {
	x := &indexes{lists: map[string]nostr.Event{}, asked: map[string]int{}}
	for _, e := range list {
		x.add(e)
	}
	return x
}

func (x *indexes) add(e nostr.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lists[e.PubKey] = e
}

func (x *indexes) Resolve(_ context.Context, pubkey string) (dht.FoundList, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.asked[pubkey]++
	found := dht.FoundList{Asked: []string{"wss://index.example.com"}, Why: "1 list indexes answered and have no list"}
	if e, ok := x.lists[pubkey]; ok {
		found.Event = &e
	}
	if x.away {
		return dht.FoundList{}, errors.New("no list index was reached")
	}
	return found, nil
}

func (x *indexes) times(key *schnorr.SecretKey) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.asked[key.PublicKey()]
}

// An author of whom nothing but a note has been seen gets the list that indexes have, as if it had been received; who has a
// list is not looked up there.
func TestAuthorsWithoutAListGetThatOfTheIndexes(t *testing.T) {
	inWorld(t, func(w *world) {
		alice, bob, carol := user(w.T, "alice"), user(w.T, "bob"), user(w.T, "carol")
		w.lists = newIndexes(list(w.T, alice, 100, relayURL(1)).NIP65, list(w.T, bob, 100, relayURL(1)).NIP65)
		w.ingest(nil)
		w.dhtworker(nil)
		w.sendEvent(list(w.T, bob, 200, relayURL(2)).NIP65)
		time.Sleep(time.Minute) // or the note may be looked at first
		w.sendEvent(note(w.T, alice, "hello"), note(w.T, bob, "hello"), note(w.T, carol, "hello"))
		time.Sleep(time.Minute)
		for who, want := range map[*schnorr.SecretKey][]string{alice: {relayURL(1)}, bob: {relayURL(2)}, carol: nil} {
			author := get[contract.Author](w, contract.BucketAuthors, who.PublicKey())
			if got := author.Lists[contract.ViaNIP65].Write; !slices.Equal(got, want) || !slices.Equal(w.links(who.PublicKey()), want) {
				w.Errorf("the list is %v, links are %v, want %v", got, w.links(who.PublicKey()), want)
			}
		}
		if w.lists.times(alice) != 1 || w.lists.times(bob) != 0 || w.lists.times(carol) != 1 {
			w.Errorf("asked for alice %d times, bob %d, carol %d", w.lists.times(alice), w.lists.times(bob), w.lists.times(carol))
		}
	})
}

// The service answers with what indexes have where the DHT has no list, and says what was tried where they have none.
func TestTheServiceAsksIndexes(t *testing.T) {
	inWorld(t, func(w *world) {
		alice, bob, carol := user(w.T, "alice"), user(w.T, "bob"), user(w.T, "carol")
		on := list(w.T, bob, 100, relayURL(2))
		useless := sign(w.T, carol, nostr.Event{Kind: nostr.KindRelayList, CreatedAt: 100, Tags: []nostr.Tag{{"r", "wss://10.0.0.1"}}})
		x := newIndexes(list(w.T, alice, 100, relayURL(1)).NIP65, list(w.T, bob, 100, relayURL(1)).NIP65, useless)
		s := w.service()
		s.Lists = x
		ask := func(r events.ResolveRequest) events.ResolveResponse {
			t.Helper()
			answer, err := s.Resolve(w.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			return answer
		}
		if got := ask(events.ResolveRequest{PubKey: alice.PublicKey()}); !got.Found || !slices.Equal(got.Relays, []string{relayURL(1)}) ||
			got.Event == nil || got.Event.PubKey != alice.PublicKey() || len(got.Indexes) != 1 || got.Why != "" {
			t.Errorf("alice's: %+v", got)
		}
		target := on.Item.Target()
		w.dht.set(func(n *network) { n.items[hexOf(target[:])] = on.Item })
		put(w, contract.BucketAuthors, bob.PublicKey(), contract.Author{DHTKey: hexOf(on.Item.Key[:]), DHTKeyBy: bob.PublicKey()})
		if got := ask(events.ResolveRequest{PubKey: bob.PublicKey()}); !slices.Equal(got.Relays, []string{relayURL(2)}) || got.Event != nil {
			t.Errorf("bob's, who is on the DHT: %+v", got)
		}
		for what, c := range map[string]struct {
			r   events.ResolveRequest
			why string
		}{
			"a list of no use":     {events.ResolveRequest{PubKey: carol.PublicKey()}, "names no relay that may be dialled"},
			"nobody's":             {events.ResolveRequest{PubKey: user(w.T, "dave").PublicKey()}, "have no list"},
			"a DHT key of unknown": {events.ResolveRequest{DHTKey: strings.Repeat("ab", 32)}, "no node has a record"},
		} {
			if got := ask(c.r); got.Found || !strings.Contains(got.Why, c.why) {
				t.Errorf("%s: %+v", what, got)
			}
		}
		x.away = true
		if got := ask(events.ResolveRequest{PubKey: alice.PublicKey()}); got.Found || !strings.Contains(got.Why, "no list index was reached") {
			t.Errorf("without an index: %+v", got)
		}
	})
}
