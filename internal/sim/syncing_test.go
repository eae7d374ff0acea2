package sim_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// discover says that authors write to a relay, as a producer would.
func (w *world) discover(url string, authors ...*schnorr.SecretKey) {
	w.Helper()
	d := events.RelayDiscovered{URL: url}
	for _, key := range authors {
		d.Authors = append(d.Authors, key.PublicKey())
	}
	w.Publish(events.SubjectRelayDiscovered, nostr.Encode(d))
}

// holds gives a relay n more notes of the author, step seconds apart, the
// newest of now.
func (w *world) holds(url string, key *schnorr.SecretKey, n, step int) (list []nostr.Event) {
	w.Helper()
	for i := range n {
		at := time.Now().Unix() - int64(i*step)
		list = append(list, sign(w.T, key, nostr.Event{Kind: 1, CreatedAt: at, Content: fmt.Sprint(url, " ", i)}))
	}
	w.relays.set(url, func(x *remote) { x.events = append(x.events, list...) })
	return list
}

// complete checks that the local relay holds the events.
func (w *world) complete(what string, lists ...[]nostr.Event) {
	w.Helper()
	have := w.relays.ids(home)
	var missing int
	for _, list := range lists {
		for _, e := range list {
			if _, ok := slices.BinarySearch(have, e.ID); !ok {
				missing++
			}
		}
	}
	if missing > 0 {
		w.Errorf("%s: %d events are missing at the local relay", what, missing)
	}
}

func (w *world) health(url string) contract.Relay {
	w.Helper()
	return get[contract.Relay](w, contract.BucketRelays, nostr.RelayKey(url))
}

func (w *world) sync(url string) contract.Sync {
	w.Helper()
	return get[contract.Sync](w, contract.BucketSyncs, nostr.RelayKey(url))
}

func TestADiscoveredRelayIsSyncedNowAndOnScheduleAndWhatComesGoesToIngest(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		alice, bob, stranger := user(w.T, "alice"), user(w.T, "bob"), user(w.T, "stranger")
		url := relayURL(1)
		first := w.holds(url, alice, 150, 60)
		w.holds(url, stranger, 20, 60)
		here := w.holds(home, bob, 30, 60)
		w.relays.set(url, func(x *remote) { x.events = append(x.events, here[:10]...) })
		w.discover(url, alice, bob)
		time.Sleep(time.Minute)
		w.complete("at once", first)
		if n := len(w.relays.ids(home)); n != 150+30 {
			w.Errorf("the local relay holds %d events, want those of the two authors", n)
		}
		told := outcomes[events.SyncFinished](w, events.SubjectSyncFinished)
		if len(told) != 1 || !told[0].OK || told[0].Missing != 150 || told[0].Stored != 150 || told[0].Authors != 2 {
			w.Errorf("told %+v", told)
		}
		// Ingest has seen them, although nobody tails the local relay here.
		get[contract.Author](w, contract.BucketAuthors, alice.PublicKey())

		start := time.Now()
		var later [][]nostr.Event
		for range 6 {
			later = append(later, w.holds(url, alice, 3, 60))
			time.Sleep(time.Hour)
			w.complete("within an hour", later...)
		}
		// a session each; where three are new, at most a REQ for each and a session that proves it
		if n := within(w.relays.seen(url).times, start, time.Now()); n < 24 || n > 24+4*6 {
			w.Errorf("asked %d times in six hours, want every 15 minutes", n)
		}
		if s := w.sync(url); s.Failures != 0 || time.Now().Unix()-s.LastOK > 15*60 {
			w.Errorf("sync is remembered as %+v", s)
		}

		// Everyone may announce a relay time and again.
		start = time.Now()
		w.discover(home, alice)
		for range 4 {
			w.discover(url, alice)
			time.Sleep(15 * time.Minute)
		}
		if n := within(w.relays.seen(url).times, start, time.Now()); n > 9 {
			w.Errorf("asked %d times in an hour with four announcements", n)
		}
		if list := keys[contract.Sync](w, contract.BucketSyncs, ">"); len(list) != 1 {
			w.Errorf("syncs with %v, want none with the local relay itself", list)
		}
		w.noDeadLetters()
	})
}

func TestAuthorsWhoArriveWhileASyncRunsAreSyncedAfterwards(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		slow, other := relayURL(1), relayURL(2)
		w.relays.set(slow, func(x *remote) { x.latency = 40 * time.Second })
		var lists [][]nostr.Event
		for i := range 12 {
			key := user(w.T, fmt.Sprint("author ", i))
			lists = append(lists, w.holds(slow, key, 5, 60))
			w.discover(slow, key)
			time.Sleep(time.Second) // the first sync is at its session all the time
		}
		alice := user(w.T, "alice")
		quick := w.holds(other, alice, 5, 60)
		w.discover(other, alice)
		time.Sleep(time.Minute)
		w.complete("another relay meanwhile", quick)
		time.Sleep(8 * time.Minute) // the schedule of this relay fires after ten
		w.complete("all authors", lists...)
		if n := w.relays.seen(slow).sessions; n > 5 {
			w.Errorf("%d sessions with one relay, want two for the first author and three for all that came meanwhile", n)
		}
		w.noDeadLetters()
	})
}

func TestADeadRelayIsTriedThreeTimesPerScheduleAndIsNoDeadLetter(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		alice := user(w.T, "alice")
		url := relayURL(1)
		all := w.holds(url, alice, 10, 60)
		w.relays.set(url, func(x *remote) { x.down = true })
		w.discover(url, alice)
		start := time.Now()
		time.Sleep(6 * time.Hour)
		tries := w.relays.seen(url).times
		if n := within(tries, start, start.Add(7*time.Minute)); n != 3 {
			w.Errorf("tried %d times at first, want 3", n)
		}
		// Then once in 10, 20, 40, 80, 160 minutes, a quarter more or less, with
		// the next scheduled sync.
		if n := len(tries); n < 3+3 || n > 3+6 {
			w.Errorf("tried %d times in six hours, want less and less often", n)
		}
		if s := w.sync(url); s.LastOK != 0 || s.Failures != len(tries) || s.Last.Why == "" {
			w.Errorf("%d failures are remembered as %+v", len(tries), s)
		}
		if r := w.health(url); r.Failures != len(tries) || r.RetryAt < time.Now().Unix()-15*60 || r.Fault == "" || r.LatencyMS != 0 {
			w.Errorf("%d failures make the relay %+v", len(tries), r)
		}
		if n := w.ever(contract.StreamOutcome); n != len(tries)-2 {
			w.Errorf("told of %d syncs, want one for each scheduled sync that tried", n)
		}
		w.noDeadLetters()
		w.relays.set(url, func(x *remote) { x.down, x.latency = false, time.Second })
		time.Sleep(6*time.Hour*5/4 + 16*time.Minute)
		w.complete("when it is back", all)
		if s := w.sync(url); s.Failures != 0 || s.LastOK == 0 {
			w.Errorf("a success is remembered as %+v", s)
		}
		if r := w.health(url); r.Failures != 0 || r.RetryAt != 0 || r.Fault != "" || r.LatencyMS != 1000 {
			w.Errorf("a success makes the relay %+v", r)
		}

		// The local relay fails instead: nothing is lost either.
		more := w.holds(url, alice, 10, 60)
		w.relays.set(home, func(x *remote) { x.down = true })
		time.Sleep(2 * time.Hour)
		w.relays.set(home, func(x *remote) { x.down = false })
		if r := w.health(url); r.Failures != 0 || r.RetryAt != 0 {
			w.Errorf("the local relay's fault makes the relay %+v", r)
		}
		time.Sleep(16 * time.Minute)
		w.complete("when the local relay is back", more)
		w.noDeadLetters()
	})
}

func TestWhatMayNotBeCopiedAndWhatIsRefusedIsCounted(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		alice := user(w.T, "alice")
		url := relayURL(1)
		good := w.holds(url, alice, 5, 60)
		now := time.Now().Unix()
		protected := note(w.T, alice, "protected", nostr.Tag{"-"})
		expired := sign(w.T, alice, nostr.Event{Kind: 1, CreatedAt: now - 100, Tags: []nostr.Tag{{"expiration", strconv.FormatInt(now-50, 10)}}})
		future := sign(w.T, alice, nostr.Event{Kind: 1, CreatedAt: now + 24*3600})
		unwanted, unsaid := note(w.T, alice, "unwanted"), note(w.T, alice, "refused without a word")
		// JSON as relaymesh writes it is six times as long as it need be: too
		// long for a message, but no reason to stop.
		angles := note(w.T, alice, strings.Repeat("<", 200<<10))
		w.relays.set(url, func(x *remote) { x.events = append(x.events, protected, expired, future, unwanted, unsaid, angles) })
		w.relays.set(home, func(x *remote) {
			x.refuse = func(e nostr.Event) string {
				return map[string]string{unwanted.ID: "blocked: unwanted", unsaid.ID: wordless}[e.ID]
			}
		})
		w.discover(url, alice)
		time.Sleep(time.Minute)
		w.complete("the others", good, []nostr.Event{angles})
		if n := len(w.relays.ids(home)); n != len(good)+1 {
			w.Errorf("the local relay holds %d events", n)
		}
		told := outcomes[events.SyncFinished](w, events.SubjectSyncFinished)
		if len(told) != 1 || !told[0].OK || told[0].Missing != 11 || told[0].Stored != 6 || told[0].Refused != 5 || told[0].Invalid != 0 {
			w.Errorf("told %+v", told)
		}
		w.noDeadLetters()
	})
}

func TestARelayWithoutNegentropyIsReadByPagesToTheEnd(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		alice, bob := user(w.T, "alice"), user(w.T, "bob")
		whole, capped := relayURL(1), relayURL(2)
		var all [][]nostr.Event
		all = append(all, w.holds(whole, alice, 1100, 7))
		// Several in one second, fewer than a page, some twice; and the first
		// second of all, before which there is nothing.
		for i := range 4 {
			all = append(all, w.holds(capped, bob, 60, 3))
			time.Sleep(time.Duration(i) * time.Second)
		}
		first := sign(w.T, bob, nostr.Event{Kind: 1, CreatedAt: 0, Content: "first"})
		first.CreatedAt = 0
		if err := bob.SignEvent(&first); err != nil {
			w.Fatal(err)
		}
		all = append(all, []nostr.Event{first})
		w.relays.set(whole, func(x *remote) { x.plain = true })
		w.relays.set(capped, func(x *remote) { x.plain, x.page, x.events = true, 20, append(x.events, first) })
		w.discover(whole, alice)
		w.discover(capped, bob)
		time.Sleep(time.Minute)
		w.complete("by pages", all...)
		for url, n := range map[string]int{whole: 1100, capped: 181} {
			if s := w.sync(url); !s.Last.OK || s.Last.Missing != n || s.Last.Stored != n {
				w.Errorf("%s: %+v", url, s)
			}
		}
		before := w.relays.seen(capped).queries
		time.Sleep(15 * time.Minute)
		if s := w.sync(capped); !s.Last.OK || s.Last.Missing != 0 {
			w.Errorf("again: %+v", s)
		}
		if n := w.relays.seen(capped).queries - before; n < 12 || n > 30 {
			w.Errorf("%d pages for 181 events in pages of 20", n)
		}
		w.noDeadLetters()
	})
}

// Relays that hang take a few of a worker's slots, not all: the others are
// synced as if they were not there.
func TestRelaysThatHangDoNotDelayTheOthers(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		alice := user(w.T, "alice")
		for i := range 30 {
			url := ownDomain(100 + i)
			w.relays.set(url, func(x *remote) { x.latency = 24 * time.Hour })
			w.discover(url, alice)
		}
		time.Sleep(2 * time.Hour) // now they are known
		var lists [][]nostr.Event
		for i := range 20 {
			url := ownDomain(i)
			lists = append(lists, w.holds(url, alice, 5, 60))
			w.discover(url, alice)
		}
		time.Sleep(time.Minute)
		w.complete("beside 30 relays that hang", lists...)

		// One that nobody knows yet is in nobody's way either.
		w.relays.set(ownDomain(99), func(x *remote) { x.latency = 24 * time.Hour })
		w.discover(ownDomain(99), alice)
		for i := range 20 {
			lists = append(lists, w.holds(ownDomain(i), alice, 5, 60))
		}
		time.Sleep(16 * time.Minute)
		w.complete("at their next scheduled syncs", lists...)
		w.noDeadLetters()
	})
}

// A relay that breaks the protocol is not tried again in one scheduled sync.
func TestARelayThatMisbehavesIsTriedOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		url := relayURL(1)
		w.relays.set(url, func(x *remote) { x.fault = reconcile.ErrMisbehaving })
		w.discover(url, user(w.T, "alice"))
		time.Sleep(5 * time.Minute)
		if n := len(w.relays.seen(url).times); n != 1 {
			w.Errorf("asked %d times", n)
		}
		if r := w.health(url); r.Failures != 1 || !strings.Contains(r.Fault, "misbehaves") {
			w.Errorf("the relay is %+v", r)
		}
		w.noDeadLetters()
	})
}

// A relay that does not serve us is not asked time and again in one scheduled sync.
func TestARelayThatRefusesUsIsLeftAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		url := relayURL(1)
		w.relays.set(url, func(x *remote) { x.fault = reconcile.ErrRefused })
		w.discover(url, user(w.T, "alice"))
		time.Sleep(4 * time.Hour)
		if n := len(w.relays.seen(url).times); n != 1 {
			w.Errorf("asked %d times", n)
		}
		if r := w.health(url); r.RetryAt < time.Now().Unix() || !strings.Contains(r.Fault, "does not serve us") {
			w.Errorf("the relay is %+v", r)
		}
		w.noDeadLetters()
	})
}

func TestARelayWhereNobodyWritesAnyMoreIsNotDueAnyMore(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		alice := user(w.T, "alice")
		url, other := relayURL(1), relayURL(2)
		w.sendEvent(nip65(w.T, alice, time.Now().Unix(), url))
		time.Sleep(time.Hour)
		due := func() []string { return w.schedules(contract.StreamSyncDue) }
		if list := due(); len(list) != 1 {
			w.Fatalf("scheduled are %v", list)
		}
		w.sendEvent(nip65(w.T, alice, time.Now().Unix(), other))
		time.Sleep(time.Hour)
		if list := due(); len(list) != 1 || list[0] != contract.PrefixSchedule+contract.SyncDueSubject(nostr.RelayKey(other)) {
			w.Errorf("scheduled are %v, want that of the other relay", list)
		}
		before := len(w.relays.seen(url).times)
		time.Sleep(time.Hour)
		if n := len(w.relays.seen(url).times); n != before {
			w.Errorf("asked %d times more", n-before)
		}
		w.sendEvent(nip65(w.T, alice, time.Now().Unix(), url, other))
		time.Sleep(time.Hour)
		if list := due(); len(list) != 2 {
			w.Errorf("back again: scheduled are %v", list)
		}
		w.noDeadLetters()
	})
}

// A worker that dies amid a sync of many authors: the next one goes on with
// those that are left.
func TestASyncGoesOnWhereItsWorkerDied(t *testing.T) {
	inWorld(t, func(w *world) {
		alice := user(w.T, "alice")
		url := relayURL(1)
		// 1,600 authors are four filters; 5 s each.
		for i := range 1599 {
			put(w, contract.BucketLinks, contract.LinkKey(nostr.RelayKey(url), fmt.Sprintf("%064x", i)),
				contract.Link{URL: url, Via: map[string]int64{contract.ViaNIP65: 1}})
		}
		list := w.holds(url, alice, 5, 60)
		w.relays.set(url, func(x *remote) { x.latency = 5 * time.Second })
		w.ingest(nil)
		first := w.syncworker(nil)
		w.discover(url, alice)
		time.Sleep(23 * time.Second) // three of the four need one session each, and after one a sample is asked for
		s := w.sync(url)
		if s.Progress == nil || len(s.Progress.Done) < 2 || s.Through != 0 {
			w.Fatalf("progress is %+v", s)
		}
		done := len(s.Progress.Done)
		w.relays.set(url, func(x *remote) { x.latency = time.Hour })
		first.stop() // its handler is given up after the drain time
		time.Sleep(20 * time.Second)
		w.relays.set(url, func(x *remote) { x.latency = 0 })
		before := w.relays.seen(url).sessions
		w.syncworker(nil)
		time.Sleep(2 * time.Minute)
		w.complete("in the end", list)
		if s = w.sync(url); s.Progress != nil || !s.Last.OK || s.Through == 0 || s.Through > s.LastOK {
			w.Errorf("in the end: %+v", s)
		}
		if n := w.relays.seen(url).sessions - before; n > 4-done+1 { // one of the filters has something new, and is proved
			w.Errorf("%d sessions after %d of 4 filters were complete", n, done)
		}
		w.noDeadLetters()
	})
}

// A relay that takes longer than a sync may last has not failed, as long as
// something of it gets done: it goes on at once.
func TestALongSyncIsNoFailure(t *testing.T) {
	inWorld(t, func(w *world) {
		url := relayURL(1)
		for i := range 9 * 500 {
			put(w, contract.BucketLinks, contract.LinkKey(nostr.RelayKey(url), fmt.Sprintf("%064x", i)),
				contract.Link{URL: url, Via: map[string]int64{contract.ViaNIP65: 1}})
		}
		takes := func(long time.Duration) { w.relays.set(url, func(x *remote) { x.latency = long }) }
		takes(30 * time.Second) // one that gives no first answer in a minute is silent
		w.ingest(nil)
		w.syncworker(nil)
		w.discover(url, user(w.T, "alice"))
		time.Sleep(10 * time.Second)
		takes(4 * time.Minute)
		time.Sleep(29 * time.Minute)
		takes(30 * time.Second)
		time.Sleep(80 * time.Second)
		if s, r := w.sync(url), w.health(url); s.Progress == nil || s.Last.OK || !strings.Contains(s.Last.Why, "not done in") || r.Failures != 0 {
			w.Errorf("after half an hour: %+v, the relay is %+v", s.Last, r)
		}
		time.Sleep(20 * time.Minute) // the time of a REQ more, for a sample
		if s, r := w.sync(url), w.health(url); s.Through == 0 || r.Failures != 0 {
			w.Errorf("in the end: %+v, the relay is %+v", s, r)
		}
		w.noDeadLetters()
	})
}

// A relay is sent no longer messages than it says it takes.
func TestARelayWithASmallMessageLimit(t *testing.T) {
	inWorld(t, func(w *world) {
		alice := user(w.T, "alice")
		urls := []string{relayURL(1), home}
		list := w.holds(relayURL(1), alice, 900, 60)
		w.relays.set(home, func(x *remote) { // it lacks every third, all over
			for i, e := range list {
				if i%3 > 0 {
					x.events = append(x.events, e)
				}
			}
		})
		for _, url := range urls {
			w.relays.set(url, func(x *remote) { x.accepts = 4500 })
		}
		w.ingest(nil)
		w.syncworker(nil)
		w.discover(relayURL(1), alice)
		time.Sleep(time.Hour)
		w.complete("with small messages", list)
		for _, url := range urls {
			if n := w.relays.seen(url).longest; n == 0 || n > 4500 {
				w.Errorf("%s is sent %d bytes", url, n)
			}
		}
	})
}

// A sync that has stored events before the relay went away is told with their number,
// however often it was tried again in vain.
func TestWhatASyncStoredBeforeACutIsTold(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.syncworker(nil)
		alice, url := user(w.T, "alice"), relayURL(1)
		w.holds(url, alice, 500, 60)
		other := w.relays.relay(url)
		w.relays.set(home, func(x *remote) {
			x.refuse = func(nostr.Event) string {
				other.down = len(x.events) >= 50 // under the lock of both
				return ""
			}
		})
		w.discover(url, alice)
		time.Sleep(5 * time.Minute)
		stored := 0
		for _, e := range w.relays.seen(home).events {
			if e.PubKey == alice.PublicKey() && e.Kind == 1 {
				stored++
			}
		}
		s := w.sync(url)
		if stored < 50 || s.Failures < 3 || s.Last.OK || s.Last.Stored != stored || s.Last.Missing < 500 {
			w.Errorf("%d are stored, and told is %+v", stored, s)
		}

		// The next one counts for itself.
		w.relays.set(home, func(x *remote) { x.refuse = nil })
		w.relays.set(url, func(x *remote) { x.down = false })
		time.Sleep(40 * time.Minute)
		if s := w.sync(url); !s.Last.OK || s.Last.Stored > 500-stored {
			w.Errorf("after %d were stored, told is %+v", stored, s)
		}
	})
}
