package syncing

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// hours has passes for so many hours, one each.
func (w *town) hours(n int) {
	w.t.Helper()
	for range n {
		w.pass()
		time.Sleep(time.Hour)
	}
}

// A relay that yields once and then lists what it does not deliver is asked ever more
// seldom, as one that has nothing, and what it lists is no yield.
func TestARelayThatStopsDeliveringYieldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "wss://quits.example.com"
		w := newTown(t, alice, bob)
		quits := w.open(url, alice)
		w.hours(1)
		for i := range 50 {
			e := nostr.Event{PubKey: bob, Kind: 1, CreatedAt: surveyNow - int64(i), Content: "listed"}
			e.ID = e.Hash()
			quits.mu.Lock()
			quits.events[e.ID] = e
			quits.mu.Unlock()
		}
		quits.withholds = func(nostr.Filter) bool { return true }
		before := quits.asked
		w.hours(14 * 24)
		l := w.surveys.Of[contract.SurveyRoot].Looks[nostr.RelayKey(url)]
		if l.All != 20 || l.Dull < 4 {
			t.Errorf("remembered is %+v", l)
		}
		if n := quits.asked - before; n > 100 {
			t.Errorf("asked %d times in two weeks", n)
		}
		if n := len(w.links.Of); n != 1 {
			t.Errorf("%d links", n)
		}
	})
}

// A relay whose sessions list other ids each time, of which it has none, is asked for as many as there is room for, and
// ever more seldom: it would be compared again and again. What it has comes all the same.
func TestARelayThatInventsIDsHasNoMoreThanItsRoom(t *testing.T) {
	for name, has := range map[string][]string{"nothing": nil, "events": {alice, bob}} {
		synctest.Test(t, func(t *testing.T) {
			const url, room, days = "wss://invents.example.com", 3, 14
			w := newTown(t, alice, bob)
			liar := w.open(url, has...)
			liar.invent = 40
			for range days * 24 {
				key, before := nostr.RelayKey(url), liar.asked
				if _, err := w.relays.Update(t.Context(), key, func(old contract.Relay, found bool) (contract.Relay, bool) {
					old.Asked = askedFor(nil, time.Now().Unix(), inAnHour-syncSessions-room)
					return old, found
				}); err != nil {
					t.Fatal(err)
				}
				w.hours(1)
				if n := liar.asked - before; n > room {
					t.Fatalf("%s: asked for %d sessions where there is room for %d", name, n, room)
				}
			}
			if l := w.surveys.Of[contract.SurveyRoot].Looks[nostr.RelayKey(url)]; liar.asked > 5*days || l.Dull < 4 {
				t.Errorf("%s: asked for %d sessions in %d days: %+v", name, liar.asked, days, l)
			}
			if n := w.shops[townHall].count(); n != liar.count() {
				t.Errorf("%s: %d of %d events", name, n, liar.count())
			}
		})
	}
}

// A relay without NIP-77 that gives nothing, or not what it lists, when it is first read is
// not taken for read.
func TestAnEmptyAnswerIsNotBelievedForLong(t *testing.T) {
	for name, withholds := range map[string]func(nostr.Filter) bool{
		"none":               func(nostr.Filter) bool { return true },
		"none that it lists": func(f nostr.Filter) bool { return len(f.IDs) > 0 },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t, alice)
			late := w.open("wss://late.example.com", alice)
			late.no77, late.withholds = true, withholds
			w.hours(1)
			late.withholds = nil
			w.hours(16)
			if n := w.shops[townHall].count(); n != late.count() {
				t.Errorf("%s: %d of %d events", name, n, late.count())
			}
		})
	}
}

// A new note that such a relay lists and does not give is asked for again soon, however seldom
// the relay is asked.
func TestANewNoteThatDidNotComeIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, alice)
		late := w.open("wss://late.example.com", alice)
		late.no77 = true
		w.hours(10 * 24)
		e := nostr.Event{PubKey: alice, Kind: 1, CreatedAt: time.Now().Unix()}
		e.ID = e.Hash()
		late.mu.Lock()
		late.events[e.ID] = e
		late.mu.Unlock()
		late.withholds = func(f nostr.Filter) bool { return len(f.IDs) > 0 }
		for before := late.asked; late.asked == before; {
			w.hours(1)
		}
		late.withholds = nil
		w.hours(12)
		if n := w.shops[townHall].count(); n != late.count() {
			t.Errorf("%d of %d events", n, late.count())
		}
	})
}

// A look that ends before it has begun leaves its slot to others: a host has two.
func TestALookThatEndsAtOnceHoldsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, alice)
		const url = "wss://host.example.com"
		late := w.open(url, alice)
		over, end := context.WithCancel(t.Context())
		end()
		for range 100 { // each has its slot as often as not
			p := &pass{stage: w.Stage, begun: surveyNow}
			if err := p.look(over, candidate{key: nostr.RelayKey(url), url: url}, &surveySet{}, true); err != nil {
				t.Fatal(err)
			}
		}
		w.pass()
		if n := w.shops[townHall].count(); n != late.count() {
			t.Errorf("%d of %d events", n, late.count())
		}
	})
}

// Relays that somebody has named and that are not there keep none that has something from
// its turn for long, however often they come round again.
func TestDeadRelaysKeepNoneFromItsTurn(t *testing.T) {
	const count, last = 2000, "z" // by lot the last
	candidates := []candidate{{key: last}}
	for i := range count {
		candidates = append(candidates, candidate{key: fmt.Sprintf("dead%04d", i), weight: 1})
	}
	failed := map[string]health.State{}
	passes, now := 0, time.Unix(surveyNow, 0)
	for ; passes < 2*count; passes++ {
		list := dueLooks(contract.SurveyRoot, nil, candidates, now.Unix())
		if slices.ContainsFunc(list, func(c candidate) bool { return c.key == last }) {
			break
		}
		for _, c := range list {
			failed[c.key] = health.Survey.Next(failed[c.key], health.Failed, now, 0.5)
		}
		for i, c := range candidates {
			candidates[i].rests = failed[c.key].Unix()
		}
		now = now.Add(surveyEvery)
	}
	if most := count/(looksPerPass/2) + 1; passes > most {
		t.Errorf("the last one's turn is after %d passes, want %d at most", passes, most)
	}
}

// Of ten thousand relays that lists and hints name no more are remembered than have room.
func TestTenThousandRelaysAreNotAllRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, alice)
		for i := range 10_000 {
			w.open(fmt.Sprintf("wss://relay%d.example%d.com", i, i/30))
		}
		before := maxLooks - looksPerPass/2
		looks := map[string]contract.Look{}
		for i := range before {
			looks[strconv.Itoa(i)] = contract.Look{At: time.Now().Unix(), Next: time.Now().Unix() + 86400}
		}
		w.surveys.Of[contract.SurveyRoot] = contract.Survey{Looks: looks}
		w.hours(3)
		if n := len(w.surveys.Of[contract.SurveyRoot].Looks); n <= before || n > maxLooks {
			t.Errorf("%d relays are remembered, want %d at most", n, maxLooks)
		}
	})
}

// Authors who all move to another relay with all they have written are found there without
// a list, although the survey knew that relay as one that has next to nothing.
func TestASliceWhoseAuthorsAllMoveIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var authors []string
		for i := range 20 {
			authors = append(authors, fmt.Sprintf("%064x", i+1))
		}
		const old, next = "wss://old.example.com", "wss://next.example.com"
		w := newTown(t, authors...)
		w.open(old, authors...)
		w.open(next)
		w.hours(48)
		w.shops[old].fails = fmt.Errorf("gone")
		moved := w.open(next, authors...)
		w.hours(int((readAgain + 8*soonest) / time.Hour))
		if n, want := w.shops[townHall].count(), 2*20*len(authors); n != want || moved.asked == 0 {
			t.Errorf("the local relay has %d of %d", n, want)
		}
		for _, pubkey := range authors {
			if l := w.links.Of[contract.LinkKey(nostr.RelayKey(next), pubkey)]; l.Delivered == 0 {
				t.Fatalf("%s is not linked: %+v", pubkey, l)
			}
		}
	})
}
