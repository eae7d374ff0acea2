package syncing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// writes links authors to a relay, by a list.
func (w *town) writes(url string, authors ...string) {
	for _, author := range authors {
		w.links.Of[contract.LinkKey(nostr.RelayKey(url), author)] = contract.Link{URL: url, Via: map[string]int64{contract.ViaNIP65: 1}}
	}
}

// sync handles one message, as the schedule gives it, and returns what the handler says.
func (w *town) sync(url string, attempt int) ([]contract.Output, contract.Verdict) {
	w.t.Helper()
	subject := contract.SyncDueSubject(nostr.RelayKey(url))
	data := nostr.Encode(contract.SyncDue{URL: url})
	return w.HandleDue(w.t.Context(), contract.Message{Subject: subject, Data: data, Attempt: attempt, Cause: w.Now().String()})
}

func many(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%064x", i+1))
	}
	return list
}

// noted makes an event of a time before now.
func (s *shop) noted(author string, ago time.Duration) {
	e := nostr.Event{PubKey: author, Kind: 1, CreatedAt: time.Now().Add(-ago).Unix(), Content: strings.Repeat("x", len(s.events))}
	e.ID = e.Hash()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events[e.ID] = e
}

// A relay without NIP-77 is read to its beginning once in thirty days, of an author who joins at once, and else from the
// last sync on; when the rule changes, anew.
func TestARelayWithoutSessionsIsReadOnce(t *testing.T) {
	for name, limits := range map[string]reconcile.Limits{"it says so": {NoNegentropy: true}, "it does not say so": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const url = "wss://paged.example.com"
				w := newTown(t)
				x := w.open(url, alice)
				x.no77, x.limits = true, limits
				var begins []int64
				x.withholds = func(f nostr.Filter) bool {
					if len(f.IDs) == 0 {
						begins = append(begins, f.Since)
					}
					return false
				}
				syncs := func(why string, want int, whole bool) {
					t.Helper()
					begins = nil
					if _, verdict := w.sync(url, 1); !verdict.IsDone() {
						t.Fatalf("%s: %s, %s", why, verdict, verdict.Reason())
					}
					if n := w.shops[townHall].count(); n != want {
						t.Errorf("%s: %d events are here, want %d", why, n, want)
					}
					if slices.Contains(begins, 0) != whole {
						t.Errorf("%s: read from %d on", why, begins)
					}
				}
				rule := nostr.Filter{}
				w.Rules = func(string) []Rule { return []Rule{{Direction: reconcile.Down, Filter: rule, Writers: true}} }
				w.writes(url, alice)
				syncs("the first time", 20, true)
				syncs("to see that it was all", 20, true)
				syncs("then", 20, false)
				key := contract.LinkKey(nostr.RelayKey(url), alice)
				for w.links.Of[key].Read.Again < time.Now().Add(4*day).Unix() {
					time.Sleep(day)
					w.sync(url, 1)
				}
				time.Sleep(5 * time.Hour)
				x.noted(alice, time.Minute)
				syncs("after five hours", 21, false)
				x.noted(alice, 61*time.Minute)
				syncs("what comes an hour late", 21, false)
				time.Sleep(20 * time.Hour)
				syncs("with the first sync of a day", 22, false)
				x.noted(alice, 47*time.Hour)
				syncs("later on the day", 22, false)
				time.Sleep(day)
				syncs("on the next", 23, false)
				w.writes(url, bob)
				x.noted(bob, 300*day)
				x.noted(alice, 400*day)
				syncs("one who joins", 24, true)
				syncs("to see that it was all", 24, true)
				syncs("later", 24, false)
				time.Sleep(readAgain)
				syncs("after thirty days", 25, true)
				w.sync(url, 1)
				rule.Kinds = []int{1, 30023}
				syncs("by another rule", 25, true)
				syncs("to see that it was all by it", 25, true)
				syncs("by it again", 25, false)
				rules := []Rule{
					{Direction: reconcile.Down, Filter: rule, Writers: true}, {Direction: reconcile.Down, Filter: nostr.Filter{Kinds: []int{1}}},
				}
				w.Rules = func(string) []Rule { return rules }
				syncs("by one more", 25, true)
				syncs("to see that it was all by these", 25, true)
				syncs("by these again", 25, false)
				x.noted(alice, 90*day)
				rules[0].Direction = reconcile.Both // it may lack what came from elsewhere
				syncs("both ways", 26, true)
				syncs("both ways again", 26, true)
			})
		})
	}
}

// What the local relay refuses for the moment is offered with the next sync, also by a relay without NIP-77, whether it was
// read to its beginning or from the last sync on; and a relay that showed nothing is read whole again.
func TestWhatIsRefusedForTheMomentIsOfferedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "wss://paged.example.com"
		w := newTown(t)
		x, home := w.open(url), w.shops[townHall]
		x.no77, x.limits.NoNegentropy = true, true
		w.writes(url, alice)
		refusal := ""
		home.refuses = func() string { return refusal }
		for round, want := range []int{0, 0, 1, 1, 2, 2} {
			switch round {
			case 1:
				x.noted(alice, 90*day)
				refusal = "rate-limited: slow down"
			case 2, 4:
				refusal = ""
			case 3:
				x.noted(alice, 90*time.Minute)
				refusal = "error: disk full"
			}
			w.sync(url, 1)
			if n := home.count(); n != want {
				t.Errorf("round %d: %d events are here, want %d", round, n, want)
			}
			time.Sleep(2 * time.Hour)
		}
		if s, _, _ := w.Syncs.Get(t.Context(), nostr.RelayKey(url)); s.Through < time.Now().Unix()-3*3600 {
			t.Errorf("compared through %d", s.Through)
		}
	})
}

// How long it is believed that all of a relay was read goes by what was left.
func TestWhenARelayIsReadAgain(t *testing.T) {
	refused := func(reasons ...reconcile.Reason) (list []reconcile.Refusal) {
		for _, r := range reasons {
			list = append(list, reconcile.Refusal{Reason: r})
		}
		return list
	}
	policy, earlier := reconcile.ParseReason("blocked: not here"), reconcile.Reason{Cause: reconcile.ByEarlier}
	source := reconcile.Reason{Cause: reconcile.BySource}
	for name, c := range map[string]struct {
		left  []reconcile.Refusal
		bytes int64
		was   time.Duration
		want  time.Duration
	}{
		"the first time":       {nil, 5000, 0, 15 * time.Minute},
		"after a day":          {nil, 5000, day, 2 * day},
		"after weeks":          {nil, 5000, 20 * day, 30 * day},
		"nothing there":        {nil, 0, 0, 5 * time.Minute},
		"nothing there again":  {nil, 0, time.Hour, 2 * time.Hour},
		"nothing there still":  {nil, 0, day, 6 * time.Hour},
		"refused":              {refused(policy), 5000, 20 * day, 0},
		"refused earlier":      {refused(earlier), 5000, 20 * day, day},
		"not delivered":        {refused(source), 5000, 0, 5 * time.Minute},
		"not delivered still":  {refused(source, earlier), 5000, 20 * day, 6 * time.Hour},
		"for the moment alone": {refused(earlier, reconcile.ParseReason("error: busy")), 5000, 20 * day, 0},
	} {
		r := reconcile.Result{Refusals: c.left}
		r.EventBytes = c.bytes
		was := contract.Read{At: surveyNow, Again: surveyNow + seconds(c.was)}
		if got := againAfter(was, yieldOf(r), pagedAuthors); got != seconds(c.want) {
			t.Errorf("%s: read again after %d s, want %s", name, got, c.want)
		}
		if againAfter(contract.Read{}, yieldOf(r), pagedAuthors) != 0 {
			t.Errorf("%s: believed the first time", name)
		}
		if r.ToA = 1; againAfter(was, yieldOf(r).Plus(contract.Yield{}), pagedAuthors) != 0 {
			t.Errorf("%s: believed although something came", name)
		}
	}
}

// A sync asks a relay for twelve sessions in an hour, less those that surveys asked for, and goes on with the next: that is
// no failure, and the relay is followed live meanwhile. One that the operator has named is asked for all at once.
func TestASyncOfManySessionsGoesOnLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "wss://large.example.com"
		w := newTown(t)
		w.MaxLive = 10
		x := w.open(url)
		authors := many(40 * maxAuthors)
		w.writes(url, authors...)
		x.noted(authors[len(authors)-1], 100*day)
		r := w.relays.Of[nostr.RelayKey(url)]
		r.Asked = askedFor(nil, time.Now().Unix()-1800, 5)
		w.relays.Of[nostr.RelayKey(url)] = r
		syncs := func() (asked int, s contract.Sync) {
			before := x.asked
			out, verdict := w.sync(url, 1)
			if !verdict.IsDone() || !slices.ContainsFunc(out, func(o contract.Output) bool { return strings.HasPrefix(o.Subject, "live.due.") }) {
				t.Errorf("%s, %v", verdict, out)
			}
			s, _, _ = w.Syncs.Get(t.Context(), nostr.RelayKey(url))
			return x.asked - before, s
		}
		quarters := []int{0, 5, 0} // of an hour
		for {
			asked, s := syncs()
			quarters = append(quarters, asked)
			of := 0
			for _, n := range quarters[len(quarters)-4:] {
				of += n
			}
			if of > inAnHour+1 { // a REQ for a sample is not a session
				t.Errorf("%d sessions in an hour", of)
			}
			if s.LastOK != 0 {
				if n := w.shops[townHall].count(); n != 1 || s.Through > s.LastOK-3600 || len(quarters) > 20 {
					t.Errorf("after %d syncs %d events are here, %+v", len(quarters)-3, n, s)
				}
				break
			}
			if s.Failures != 0 || s.Last.OK || !strings.Contains(s.Last.Why, "goes on later") || len(quarters) > 50 {
				t.Fatalf("%+v", s)
			}
			time.Sleep(15 * time.Minute)
		}
		w.Rules = func(string) []Rule { return []Rule{{Direction: reconcile.Down, Named: true, Writers: true}} }
		if asked, s := syncs(); asked < 40 || !s.Last.OK {
			t.Errorf("of one that the operator has named: %d sessions, %+v", asked, s.Last)
		}
	})
}

// Syncs that begin have two sessions of an hour beside those of looks, together, and not each, but where an operator has
// relays synced more often than there is room for.
func TestFrequentSyncsHaveNoMoreThanTheirRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "wss://busy.example.com"
		w := newTown(t)
		x := w.open(url, alice)
		w.writes(url, alice)
		r := w.relays.Of[nostr.RelayKey(url)]
		r.Asked = askedFor(nil, time.Now().Unix(), inAnHour-syncSessions)
		w.relays.Of[nostr.RelayKey(url)] = r
		for range 4 {
			x.noted(alice, time.Minute)
			w.sync(url, 1)
			time.Sleep(14 * time.Minute)
		}
		if x.asked != syncSessions {
			t.Errorf("four syncs of an hour asked for %d sessions, of which there is room for %d", x.asked, syncSessions)
		}
		w.SyncEvery = time.Minute
		if w.sync(url, 1); w.shops[townHall].count() != x.count() {
			t.Errorf("%d of %d events are here, which are to be synced each minute", w.shops[townHall].count(), x.count())
		}
		x.noted(alice, time.Minute)
		w.SyncEvery = 15 * time.Minute
		time.Sleep(time.Hour)
		if w.sync(url, 1); w.shops[townHall].count() != x.count() {
			t.Errorf("%d of %d events are here after it", w.shops[townHall].count(), x.count())
		}
	})
}

// One reading of a relay without NIP-77 may be more than there is room for in an hour: it goes on where it ended, is not
// believed until another one has brought nothing, and what the relay has is here in the end. So it is with looks.
func TestAReadingOfMorePagesThanAnHourHasGoesOn(t *testing.T) {
	for name, meet := range map[string]func(w *town, url string){
		"sync":   func(w *town, url string) { w.sync(url, 1) },
		"survey": func(w *town, _ string) { w.pass() },
	} {
		synctest.Test(t, func(t *testing.T) {
			const url, pages = "wss://small-pages.example.com", 600
			w := newTown(t, alice)
			x := w.open(url)
			x.no77, x.limits = true, reconcile.Limits{NoNegentropy: true, Page: 5}
			for i := range 4 * pages {
				x.noted(alice, time.Duration(i+1)*time.Hour)
			}
			if name == "sync" {
				w.writes(url, alice)
			}
			hours := 0
			for ; w.shops[townHall].count() < x.count() && hours < 14*24; hours++ {
				before := x.asked
				if meet(w, url); x.asked-before > pagesOfASession*inAnHour {
					t.Errorf("%s: %d pages in an hour", name, x.asked-before)
				}
				time.Sleep(time.Hour)
			}
			if n := w.shops[townHall].count(); n != x.count() || hours < 3 {
				t.Errorf("%s: %d of %d events in %d hours", name, n, x.count(), hours)
			}
			if name != "sync" {
				return
			}
			key, came := contract.LinkKey(nostr.RelayKey(url), alice), int64(0)
			x.noted(alice, time.Minute)
			for hours = 0; w.links.Of[key].Read == nil || w.links.Of[key].Read.Again <= w.links.Of[key].Read.At; hours++ {
				if meet(w, url); hours > 24 {
					t.Fatalf("not read to its end again: %+v", w.links.Of[key].Read)
				}
				if came == 0 && w.shops[townHall].count() == x.count() {
					came = time.Now().Unix()
				}
				time.Sleep(time.Hour)
			}
			if read := w.links.Of[key].Read; came == 0 || read.At <= came {
				t.Errorf("believed in %d hours, of a reading that began at %d, while something new came at %d", hours, read.At, came)
			}
		})
	}
}

// A sync with a relay whose sessions list other ids each time, of which it has none, ends with its room, and has failed.
func TestASyncWithARelayThatInventsIDsHasNoMoreThanItsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url, room = "wss://invents.example.com", 4
		w := newTown(t, alice)
		w.writes(url, alice)
		liar := w.open(url, alice)
		liar.invent = 40
		for _, fails := range []bool{false, true} { // the first one brings what it has, and goes on later
			r, before := w.relays.Of[nostr.RelayKey(url)], liar.asked
			r.Asked = askedFor(nil, time.Now().Unix(), inAnHour-room)
			w.relays.Of[nostr.RelayKey(url)] = r
			w.sync(url, 1)
			if n := liar.asked - before; n != room {
				t.Errorf("asked for %d sessions where there is room for %d", n, room)
			}
			s, _, _ := w.Syncs.Get(t.Context(), nostr.RelayKey(url))
			if n := w.shops[townHall].count(); n != liar.count() || (s.Failures > 0) != fails {
				t.Errorf("%d of %d events, %+v", n, liar.count(), s)
			}
			time.Sleep(2 * time.Hour)
		}
	})
}

// A relay that compares a few events in a session is asked part by part, by syncs and by looks, to the last of them.
func TestARelayThatComparesLittleAtATimeIsComparedToItsEnd(t *testing.T) {
	for name, meet := range map[string]func(w *town, url string){
		"sync":   func(w *town, url string) { w.writes(url, alice); w.sync(url, 1) },
		"survey": func(w *town, _ string) { w.pass() },
	} {
		synctest.Test(t, func(t *testing.T) {
			const url = "wss://parts.example.com"
			w := newTown(t, alice)
			x := w.open(url, alice)
			x.largest = 1
			for range 48 {
				meet(w, url)
				time.Sleep(time.Hour)
			}
			if n := w.shops[townHall].count(); n != x.count() {
				t.Errorf("%s: %d of %d events", name, n, x.count())
			}
		})
	}
}

// However much surveys ask of a relay, a sync that begins asks for something; and surveys ask for nothing while syncs ask
// for all there may be.
func TestSmallSyncsNeedNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "wss://busy.example.com"
		w := newTown(t, alice)
		w.writes(url, alice)
		w.open(url, alice)
		r := w.relays.Of[nostr.RelayKey(url)]
		r.Asked = askedFor(nil, time.Now().Unix(), 12)
		w.relays.Of[nostr.RelayKey(url)] = r
		w.pass()
		if n := w.shops[townHall].count(); n != 0 {
			t.Errorf("a survey brought %d events", n)
		}
		w.sync(url, 1)
		if n := w.shops[townHall].count(); n != 20 {
			t.Errorf("a sync brought %d events", n)
		}
	})
}

// A REQ of a relay with NIP-77 that would be more than its room, after its sessions, is not sent; one for ids is no page.
func TestPagesAfterSessionsAreWithinTheRoom(t *testing.T) {
	x := &shop{events: map[string]nostr.Event{}}
	timing := &latency{asked: func() {}, most: 2}
	relay := timed(x, timing)
	timing.opened.Store(2)
	asks := func(f nostr.Filter) (err error) {
		for _, err = range relay.Query(t.Context(), f) {
			break
		}
		return err
	}
	if err := asks(nostr.Filter{Authors: []string{alice}}); !errors.Is(err, errSessions) || x.asked != 0 {
		t.Errorf("a page after two sessions of two: %v, asked %d times", err, x.asked)
	}
	if err := asks(nostr.Filter{IDs: []string{alice}}); err != nil {
		t.Errorf("a REQ for ids: %v", err)
	}
	timing.opened.Store(1)
	if err := asks(nostr.Filter{Authors: []string{alice}}); err != nil || x.asked != 1 || timing.sessions() != 2 {
		t.Errorf("a page after one session of two: %v, asked %d times", err, x.asked)
	}
}
