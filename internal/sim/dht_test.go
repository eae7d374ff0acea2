package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// signedRecords hands n users' signed lists to ingest and returns their DHT
// targets.
func (w *world) signedRecords(n int) (targets []string) {
	w.Helper()
	for i := range n {
		l := list(w.T, user(w.T, fmt.Sprint("user ", i)), 100, relayURL(1))
		w.sendEvent(l.DHT)
		targets = append(targets, stage.TargetHex(l.Item))
	}
	return targets
}

// within counts the times in an interval.
func within(times []time.Time, from, to time.Time) (n int) {
	for _, at := range times {
		if !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return n
}

func TestEachRecordIsRefreshedOncePerIntervalByAnyNumberOfReplicas(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.dhtworker(nil)
		w.dhtworker(nil)
		targets := w.signedRecords(24)
		w.scheduleOnly(targets...)
		time.Sleep(2 * time.Hour) // from the first put until its slice is due
		told := tally{}
		w.watch(func(*nats.Msg) { told.add("") }, events.SubjectRecordPublished)
		start := time.Now()
		hours := 8
		if testing.Short() { // races show in fewer
			hours = 3
		}
		time.Sleep(time.Duration(hours) * time.Hour)
		perMinute := map[int]int{}
		for _, target := range targets {
			puts := w.dht.putsOf(target)
			for hour := range hours {
				from := start.Add(time.Duration(hour) * time.Hour)
				if n := within(puts, from, from.Add(time.Hour)); n != 1 {
					w.Errorf("record %s was put %d times in hour %d", target, n, hour)
				}
			}
			for _, at := range puts {
				if at.After(start) {
					perMinute[at.Minute()]++
				}
			}
		}
		for minute, n := range perMinute {
			if n > 5*hours {
				w.Errorf("%d of %d puts come in minute %d of the hour", n, len(targets)*hours, minute)
			}
		}
		if len(perMinute) < 12 {
			w.Errorf("all puts come in %d minutes of the hour", len(perMinute))
		}
		if n := told.count(""); n != len(targets)*hours {
			w.Errorf("told %d times, want once for each of %d records and %d hours", n, len(targets), hours)
		}
		w.noDeadLetters()
	})
}

// The slice takes longer than the slack of a pass that comes a little early.
func TestALongSliceSkipsNoRefresh(t *testing.T) {
	inWorld(t, func(w *world) {
		w.scheduleOnly("7f")
		w.dht.set(func(n *network) { n.latency = 4 * time.Minute })
		targets := w.fill("7f", 40) // eight at a time: 20 minutes
		w.dhtworker(nil)
		time.Sleep(6*time.Hour + 30*time.Minute)
		for _, target := range targets {
			if n := len(w.dht.putsOf(target)); n < 6 || n > 7 {
				w.Errorf("record %s was put %d times in six hours and a half", target, n)
			}
		}
		w.noDeadLetters()
	})
}

func TestARecordThatBecameDueWhileEverythingWasDownIsRefreshedSoonAfter(t *testing.T) {
	inWorld(t, func(w *world) {
		w.schedule()
		x, y := w.ingest(nil), w.dhtworker(nil)
		targets := w.signedRecords(20)
		time.Sleep(90 * time.Minute)
		x.end(w.T)
		y.end(w.T)
		w.Restart(5 * time.Hour)
		w.schedule()
		back := time.Now()
		w.ingest(nil)
		w.dhtworker(nil)
		time.Sleep(2 * time.Minute)
		for _, target := range targets {
			if n := within(w.dht.putsOf(target), back, time.Now()); n != 1 {
				w.Errorf("record %s was put %d times in the first two minutes", target, n)
			}
		}
		time.Sleep(2 * time.Hour)
		for _, target := range targets {
			if n := within(w.dht.putsOf(target), back, time.Now()); n < 2 || n > 3 {
				w.Errorf("record %s was put %d times in the first two hours", target, n)
			}
		}
		w.noDeadLetters()
	})
}

func TestAWeakRecordComesBackSoonAtMostThreeTimesAndThenOncePerInterval(t *testing.T) {
	inWorld(t, func(w *world) {
		l := list(w.T, user(w.T, "alice"), 100, relayURL(1))
		target := stage.TargetHex(l.Item)
		w.scheduleOnly(target)
		w.dht.set(func(n *network) { n.holders[target] = 2 })
		w.ingest(nil)
		w.dhtworker(nil)
		w.sendEvent(l.DHT)
		start := time.Now()
		time.Sleep(20 * time.Minute)
		if puts := w.dht.putsOf(target); len(puts) < 2 || puts[1].Sub(puts[0]) < 10*time.Minute {
			w.Errorf("put at %v, want again after a quarter of an hour", puts)
		}
		time.Sleep(4*time.Hour - 20*time.Minute)
		puts := w.dht.putsOf(target)
		if n := within(puts, start, start.Add(4*time.Hour)); n < 5 || n > 8 {
			w.Errorf("put %d times in four hours, want 3 more than 4 or so", n)
		}
		time.Sleep(10 * time.Hour)
		puts = w.dht.putsOf(target)
		for hour := 4; hour < 14; hour++ {
			from := start.Add(time.Duration(hour) * time.Hour)
			if n := within(puts, from, from.Add(time.Hour)); n != 1 {
				w.Errorf("put %d times in hour %d, want once", n, hour)
			}
		}
		w.dht.set(func(n *network) { delete(n.holders, target) })
		time.Sleep(time.Hour)
		if r := get[contract.Record](w, contract.BucketRecords, contract.RecordKey(target)); r.Failures != 0 || len(r.Nodes) != 12*26 {
			w.Errorf("a record that stands again counts %d failures and %d bytes of nodes", r.Failures, len(r.Nodes))
		}
		w.noDeadLetters()
	})
}

func TestAHigherSeqOnTheNetworkIsAdoptedAndNeverPutLowerAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.dhtworker(nil)
		alice := user(w.T, "alice")
		old, newer := list(w.T, alice, 3, relayURL(1)), list(w.T, alice, 9, relayURL(2))
		target := stage.TargetHex(old.Item)
		w.scheduleOnly(target)
		w.sendEvent(old.DHT)
		time.Sleep(90 * time.Minute)
		w.dht.set(func(n *network) { n.items[target] = newer.Item }) // from another device
		found := time.Now()
		time.Sleep(2 * time.Hour)
		r := get[contract.Record](w, contract.BucketRecords, contract.RecordKey(target))
		if r.Seq != 9 || string(r.Value) != string(newer.Item.Value) || !r.Superseded || r.PubKey != alice.PublicKey() {
			w.Errorf("the record is %+v", r)
		}
		w.sendEvent(list(w.T, alice, 5, relayURL(3)).DHT)
		time.Sleep(2 * time.Hour)
		if letters := w.DeadLetters(); len(letters) != 1 || !hasPrefix(letters[0].Reason, "seq: 5 is lower than 9") {
			w.Errorf("dead letters: %+v", letters)
		}
		w.dht.set(func(n *network) {
			var kept int
			for _, p := range n.puts {
				if p.at.Before(found) || !p.stored {
					continue
				}
				if kept++; p.seq != 9 {
					w.Errorf("seq %d was stored after 9 was found", p.seq)
				}
			}
			if kept < 3 {
				w.Errorf("the newer record was put %d times in four hours", kept)
			}
		})
	})
}

func TestAPutThatFailsIsTriedAgainAfterGrowingWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		w.dht.set(func(n *network) { n.down = true })
		w.ingest(nil)
		w.dhtworker(nil)
		target := w.signedRecords(1)[0]
		time.Sleep(time.Hour)
		puts := w.dht.putsOf(target)
		for i := 2; i < len(puts); i++ {
			if wait, before := puts[i].Sub(puts[i-1]), puts[i-1].Sub(puts[i-2]); wait < before {
				w.Errorf("wait %d is %s after %s", i, wait, before)
			}
		}
		if len(puts) < 5 || len(puts) > 12 {
			w.Errorf("tried %d times in an hour", len(puts))
		}
		w.dht.set(func(n *network) { n.down = false })
		time.Sleep(90 * time.Minute)
		if r := get[contract.Record](w, contract.BucketRecords, contract.RecordKey(target)); r.VerifiedAt == 0 {
			w.Errorf("the record was never put: %+v", r)
		}
		w.noDeadLetters()
	})
}

func TestALookUpAnnouncesTheRelaysThatAnswerAndComesBackForTheSilent(t *testing.T) {
	inWorld(t, func(w *world) {
		announced := tally{}
		w.watch(func(m *nats.Msg) {
			d, _ := nostr.Decode[events.RelayDiscovered](m.Data)
			announced.add(d.URL + " via " + d.Via)
		}, contract.RelayDiscoveredSubject("*"))
		alice := user(w.T, "alice")
		late, dead, bad := relayURL(3), relayURL(4), "http://web.example.com"
		l := list(w.T, alice, 100, relayURL(1), relayURL(2), late, dead, bad, "wss://192.168.1.1")
		w.dht.set(func(n *network) { n.items[stage.TargetHex(l.Item)] = l.Item })
		w.relays.set(late, func(x *remote) { x.silent = true })
		w.relays.set(dead, func(x *remote) { x.silent = true })
		w.ingest(nil)
		w.dhtworker(nil)
		asked := time.Now()
		w.sendEvent(note(w.T, alice, "hello", nostr.Tag{"dht_key", hexOf(l.Item.Key[:])}))
		time.Sleep(5 * time.Second)
		for i := 1; i <= 4; i++ {
			want := 0
			if i <= 2 {
				want = 1
			}
			if n := announced.count(relayURL(i) + " via dht"); n != want { // before the first repetition
				w.Errorf("relay %d was announced %d times, want %d", i, n, want)
			}
		}
		if r := get[contract.Relay](w, contract.BucketRelays, nostr.RelayKey(dead)); r.Error == "" || r.ProbedAt != 0 {
			w.Errorf("the failure is not remembered: %+v", r)
		}
		if a := get[contract.Author](w, contract.BucketAuthors, alice.PublicKey()); a.NextResolve != 0 {
			w.Errorf("the look-up counts as done before all were probed: %+v", a)
		}
		w.relays.set(late, func(x *remote) { x.silent = false })
		time.Sleep(10 * time.Minute)
		if n := announced.count(late + " via dht"); n == 0 {
			w.Errorf("the relay that answered late was not announced")
		}
		if n := w.ever(contract.StreamRelay); n != 3 {
			w.Errorf("%d wake-ups for three relays that answered", n)
		}
		if n := w.relays.seen(dead).probes; n != 3 {
			w.Errorf("the dead relay was probed %d times, want 3", n)
		}
		if n := w.relays.seen(relayURL(1)).probes; n != 1 {
			w.Errorf("a relay that answered was probed %d times", n)
		}
		if r := get[contract.Relay](w, contract.BucketRelays, nostr.RelayKey(late)); r.Error != "" || r.ProbedAt == 0 || r.Name == "" {
			w.Errorf("relay that answered late: %+v", r)
		}
		a := get[contract.Author](w, contract.BucketAuthors, alice.PublicKey())
		if next := time.Unix(a.NextResolve, 0).Sub(asked); next < resolveEvery || next > resolveEvery+10*time.Minute {
			w.Errorf("the next look-up is in %s", next)
		}
		if got := a.Lists[contract.ViaDHT]; got.Version != 100 || !slices.Equal(got.Write, []string{relayURL(1), relayURL(2), late, dead}) {
			w.Errorf("list %+v", got)
		}
		for i := 1; i <= 4; i++ {
			get[contract.Link](w, contract.BucketLinks, contract.LinkKey(nostr.RelayKey(relayURL(i)), alice.PublicKey()))
		}
		if n := len(keys[contract.Link](w, contract.BucketLinks, "*."+alice.PublicKey())); n != 4 {
			w.Errorf("%d links, want 4", n)
		}
		told := outcomes[events.RecordResolved](w, events.SubjectRecordResolved)
		if len(told) != 1 || !told[0].Found || told[0].Seq != 100 {
			w.Errorf("told %+v", told)
		}

		// An author without a record is an answer too.
		w.sendEvent(note(w.T, user(w.T, "bob"), "hello", nostr.Tag{"dht_key", strings.Repeat("22", 32)}))
		time.Sleep(time.Minute)
		if told := outcomes[events.RecordResolved](w, events.SubjectRecordResolved); len(told) != 2 || told[1].Found || told[1].Why == "" {
			w.Errorf("told %+v", told)
		}
		w.noDeadLetters()
	})
}

func TestAnAuthorWhoMovedAwayIsLookedUpAgainThoughNothingMoreIsSeenOfThem(t *testing.T) {
	if testing.Short() {
		t.Skip("weeks of a schedule: races show in its first hours, which others pass")
	}
	inWorld(t, func(w *world) {
		alice := user(w.T, "alice")
		before := list(w.T, alice, 100, relayURL(1))
		w.dht.set(func(n *network) { n.items[stage.TargetHex(before.Item)] = before.Item })
		w.ingest(nil)
		w.dhtworker(nil)
		key := hexOf(before.Item.Key[:])
		w.sendEvent(note(w.T, alice, "hello", nostr.Tag{"dht_key", key}))
		time.Sleep(time.Minute)
		after := list(w.T, alice, 200, relayURL(2))
		w.dht.set(func(n *network) { n.items[stage.TargetHex(after.Item)] = after.Item })
		time.Sleep(2 * resolveEvery)
		if n := w.dht.getsOf(key); n < 2 || n > 3 {
			w.Errorf("looked up %d times in two windows", n)
		}
		a := get[contract.Author](w, contract.BucketAuthors, alice.PublicKey())
		if got := a.Lists[contract.ViaDHT]; got.Version != 200 {
			w.Errorf("list %+v", got)
		}
		if links := keys[contract.Link](w, contract.BucketLinks, "*."+alice.PublicKey()); len(links) != 1 {
			w.Errorf("links %v, want the new relay alone", links)
		}

		// A list of nothing that may be dialled has taken its place all the same.
		none := list(w.T, alice, 300, "ws://abc.onion", "ws://192.168.1.1")
		w.dht.set(func(n *network) { n.items[stage.TargetHex(none.Item)] = none.Item })
		time.Sleep(2 * resolveEvery)
		if links := keys[contract.Link](w, contract.BucketLinks, "*."+alice.PublicKey()); len(links) != 0 {
			w.Errorf("links %v, want none of the list before", links)
		}
		w.noDeadLetters()
	})
}

func TestADeadRelayThatManyListsNameIsProbedLessAndLess(t *testing.T) {
	inWorld(t, func(w *world) {
		dead := relayURL(4)
		w.relays.set(dead, func(x *remote) { x.silent = true })
		w.ingest(nil)
		w.dhtworker(nil)
		for i := range 20 {
			key := user(w.T, fmt.Sprint("author ", i))
			l := list(w.T, key, 100, dead)
			w.dht.set(func(n *network) { n.items[stage.TargetHex(l.Item)] = l.Item })
			w.sendEvent(note(w.T, key, "hello", nostr.Tag{"dht_key", hexOf(l.Item.Key[:])}))
			time.Sleep(time.Minute)
		}
		r := get[contract.Relay](w, contract.BucketRelays, nostr.RelayKey(dead))
		lastList := time.Now().Add(-time.Minute) // what became due since then, nobody asked for
		if n := w.relays.seen(dead).probes; n < 4 || n > 10 || n != r.ProbeFailures || r.NextProbe <= lastList.Unix() {
			w.Errorf("probed %d times for 20 lists, and remembered as %+v", n, r)
		}
		w.relays.set(dead, func(x *remote) { x.silent = false })
		time.Sleep(resolveEvery + 10*time.Minute)
		if r := get[contract.Relay](w, contract.BucketRelays, nostr.RelayKey(dead)); r.ProbedAt == 0 || r.ProbeFailures != 0 || r.NextProbe != 0 {
			w.Errorf("when it is back: %+v", r)
		}
		w.noDeadLetters()
	})
}
