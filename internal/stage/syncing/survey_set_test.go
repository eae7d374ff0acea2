package syncing

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// writes gives a relay n notes of an author, a minute apart, the newest of an hour ago.
func (s *shop) writes(pubkey string, n int) {
	for i := range n {
		e := nostr.Event{PubKey: pubkey, Kind: 1, CreatedAt: time.Now().Unix() - 3600 - int64(i)*60, Content: "much"}
		e.ID = e.Hash()
		s.events[e.ID] = e
	}
}

// Who has written more than a set has room for costs the others nothing: of them all is
// compared, and of that author what is new.
func TestAnAuthorOfTooManyEventsHidesNobodysOldOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 1000
		w := newTown(t)
		home := w.open(townHall, alice)
		home.writes(bob, 5*most)
		filter := nostr.Filter{Authors: []string{alice, bob}}
		set, err := readSet(t.Context(), home, filter, most, false)
		if err != nil {
			t.Fatal(err)
		}
		if n := set.tree.Snapshot().Len(); n > most || n < most/2 || len(set.by[alice]) != 20 {
			t.Errorf("%d events are compared, %d of alice's 20", n, len(set.by[alice]))
		}
		if home.asked > 6 { // not for all that bob has written
			t.Errorf("the local relay was asked for %d pages", home.asked)
		}
		filters := set.filters(span{}, 0)
		if len(filters) != 2 || !slices.Equal(filters[0].Authors, []string{alice}) || filters[0].Since != 0 ||
			!slices.Equal(filters[1].Authors, []string{bob}) || filters[1].Since != set.cut[bob] || set.cut[bob] == 0 {
			t.Errorf("asked by %+v", filters)
		}
		if filters = set.filters(span{since: set.cut[bob] + 1}, 0); len(filters) != 1 || len(filters[0].Authors) != 2 {
			t.Errorf("for what is new asked by %+v", filters)
		}
		if filters = set.filters(span{until: set.cut[bob] - 1}, 0); len(filters) != 1 || !slices.Equal(filters[0].Authors, []string{alice}) ||
			filters[0].Until != set.cut[bob]-1 {
			t.Errorf("for what is older asked by %+v", filters)
		}
	})
}

// Where many have written too much, all are compared from the same time on.
func TestASetIsBoundedHoweverManyWriteMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 500
		w := newTown(t)
		home := w.open(townHall)
		var list []string
		for i := range 4 * maxCut {
			list = append(list, fmt.Sprintf("%064x", i+1))
			home.writes(list[i], 200)
		}
		set, err := readSet(t.Context(), home, nostr.Filter{Authors: list}, most, false)
		if err != nil {
			t.Fatal(err)
		}
		if n := set.tree.Snapshot().Len(); n > most+1 || set.filter.Since == 0 || len(set.filters(span{}, 0)) > 1+maxCut {
			t.Errorf("%d events from %d on, asked by %d filters", n, set.filter.Since, len(set.filters(span{}, 0)))
		}
	})
}

// An author's million events at another relay come, and those of others too, also when the
// set has no room for all.
func TestTheSurveyBringsOldEventsBesideOneWhoFloods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 1000
		w := newTown(t, alice, bob)
		w.shops[townHall].writes(bob, 3*most)
		w.open("wss://a.example.com", alice)
		p := &pass{stage: w.Stage, slice: "a", begun: time.Now().Unix()}
		local, err := w.local(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		set, err := readSet(t.Context(), local, nostr.Filter{Authors: []string{alice, bob}}, most, false)
		if err != nil {
			t.Fatal(err)
		}
		c := candidate{key: nostr.RelayKey("wss://a.example.com"), url: "wss://a.example.com"}
		if err := p.look(t.Context(), c, set, true); err != nil {
			t.Fatal(err)
		}
		if n := len(w.shops[townHall].matching(nostr.Filter{Authors: []string{alice}})); n != 20 {
			t.Errorf("the local relay has %d of alice's 20", n)
		}
		if l := p.looks[c.key]; !l.Whole || l.N != 20 {
			t.Errorf("remembered is %+v", l)
		}
	})
}

// What syncs bring while relays are looked at is nothing that the local relay hides: it is read once for a pass.
func TestTheLocalRelayIsReadOnceWhileSyncsWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "wss://a.example.com"
		w := newTown(t, alice)
		x, home := w.open(url, alice), w.shops[townHall]
		x.opens = func() {
			home.mu.Lock()
			defer home.mu.Unlock()
			for id, e := range x.events { // a sync of another relay is faster
				home.events[id] = e
			}
		}
		w.pass()
		if home.count() != 20 || home.reads != 1 {
			t.Errorf("the local relay was read %d times, and has %d events", home.reads, home.count())
		}
	})
}
