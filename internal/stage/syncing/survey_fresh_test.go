package syncing

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// comes has an author come whom nobody has seen before.
func (w *town) comes(pubkey string) {
	w.t.Helper()
	_, err := w.Authors.Update(w.t.Context(), pubkey, func(contract.Author, bool) (contract.Author, bool) {
		return contract.Author{FirstSeen: time.Now().Unix()}, true
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// Somebody who comes after the authors were listed, and before a pass that still goes by
// that list, is looked for at once by the pass after it.
func TestWhoComesBetweenTwoListsOfAuthorsIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, alice)
		yields := w.open("wss://yields.example.com", alice, bob)
		w.pass()
		time.Sleep(10 * time.Minute)
		w.comes(bob)
		time.Sleep(10 * time.Minute)
		w.pass()
		time.Sleep(40 * time.Minute)
		w.pass()
		if n := w.shops[townHall].count(); n != yields.count() {
			t.Errorf("%d of %d events", n, yields.count())
		}
	})
}

// Where a relay was just asked for others, somebody new is looked for by the next pass; and
// not for ever where it always was.
func TestWhoIsNewIsLookedForWhereOthersJustWere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "wss://yields.example.com"
		w := newTown(t, alice)
		yields := w.open(url, alice, bob)
		idle := w.open("wss://idle.example.com")
		w.pass()
		time.Sleep(time.Hour)
		w.comes(bob)
		justAsked := func(key string) {
			r := w.relays.Of[key]
			r.SurveyRoomAt = busier(r.SurveyRoomAt, time.Now().Unix(), 1)
			w.relays.Of[key] = r
		}
		justAsked(nostr.RelayKey(url))
		w.pass()
		if n := w.shops[townHall].count(); n == yields.count() {
			t.Fatal("asked again within seconds")
		}
		time.Sleep(time.Hour)
		w.pass()
		if n := w.shops[townHall].count(); n != yields.count() {
			t.Errorf("%d of %d events", n, yields.count())
		}

		w.comes(strings.Repeat("c", 64))
		before := idle.asked
		for range 9 {
			justAsked(nostr.RelayKey(url))
			w.pass()
			time.Sleep(time.Hour)
		}
		if n := idle.asked - before; n < 1 || n > 5 {
			t.Errorf("somebody new was looked for %d times in nine hours", n)
		}
	})
}

// Somebody who comes when the day's bytes are used up is looked for at once when the next
// day begins.
func TestWhoComesWhenTheDaysBytesAreSpentIsNewTheNextDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(22*time.Hour + 30*time.Minute) // of the first day of fake time
		w := newTown(t, alice)
		w.open("wss://idle.example.com")
		yields := w.open("wss://yields.example.com", bob)
		w.Survey.DayBytes = 1
		w.pass()
		time.Sleep(40 * time.Minute)
		w.comes(bob)
		w.pass()
		time.Sleep(40 * time.Minute)
		w.pass()
		if n := w.shops[townHall].count(); n != 0 {
			t.Fatalf("%d events came on a day of one byte", n)
		}
		time.Sleep(10 * time.Minute) // past midnight
		w.pass()
		if n := w.shops[townHall].count(); n != yields.count() {
			t.Errorf("%d of %d events", n, yields.count())
		}
	})
}

// Of those relays that are the only ones to be asked, others take no turn.
func TestTheSurveyAsksNoRelayThatMayNotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, alice)
		w.Survey.Only = []string{"wss://yields.example.com"}
		yields, other := w.open("wss://yields.example.com", alice), w.open("wss://other.example.com", alice)
		w.pass()
		if yields.asked == 0 || other.asked != 0 {
			t.Errorf("asked %d times, the other one %d times", yields.asked, other.asked)
		}
	})
}
