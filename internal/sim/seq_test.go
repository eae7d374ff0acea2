package sim_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestReplicasThatRaceEndWithTheHighestSeq(t *testing.T) {
	inWorld(t, func(w *world) {
		for range 2 {
			w.ingest(nil)
			w.dhtworker(nil)
		}
		alice := user(w.T, "alice")
		w.dht.set(func(n *network) { n.latency = 3 * time.Second })
		const highest = 20
		target := stage.TargetHex(list(w.T, alice, 1, relayURL(1)).Item)
		var all sync.WaitGroup
		for _, seq := range []int64{7, 3, 18, 20, 1, 19, 11, 20, 2, 16} {
			l := list(w.T, alice, seq, relayURL(int(seq)))
			all.Go(func() { w.Publish(events.SubjectEventReceived, nostr.Encode(l.DHT)) })
			time.Sleep(time.Second) // while those before are being put
		}
		all.Wait()
		time.Sleep(10 * time.Minute)
		if r := get[contract.Record](w, contract.BucketRecords, contract.RecordKey(target)); r.Seq != highest || r.VerifiedAt == 0 ||
			r.Superseded {
			w.Errorf("the record is %+v", r)
		}
		w.dht.set(func(n *network) {
			if n.items[target].Seq != highest {
				w.Errorf("the network holds seq %d", n.items[target].Seq)
			}
			var before int64
			for _, p := range n.puts {
				if p.stored && p.seq < before {
					w.Errorf("seq %d was stored after %d", p.seq, before)
				}
				before = max(before, p.seq)
			}
		})
		a := get[contract.Author](w, contract.BucketAuthors, alice.PublicKey())
		if l := a.Lists[contract.ViaDHT]; l.Version != highest || !slices.Equal(l.Write, []string{relayURL(highest)}) {
			w.Errorf("list %+v", l)
		}
	})
}

// Nodes that missed the last put give an older item.
func TestAnOlderSeqOnTheNetworkNeverWins(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.dhtworker(nil)
		alice := user(w.T, "alice")
		old, newer := list(w.T, alice, 3, relayURL(1)), list(w.T, alice, 9, relayURL(2))
		target := stage.TargetHex(newer.Item)
		w.scheduleOnly(target)
		w.sendEvent(newer.DHT)
		time.Sleep(90 * time.Minute)
		rolledBack := func() { w.dht.set(func(n *network) { n.items[target] = old.Item }) }
		rolledBack()
		s := &dht.Stage{Network: w.dht, Authors: store[contract.Author](w, contract.BucketAuthors)}
		answer, err := s.Resolve(w.Context(), events.ResolveRequest{PubKey: alice.PublicKey()})
		if err != nil || answer.Seq != 9 || !slices.Equal(answer.Relays, []string{relayURL(2)}) {
			w.Errorf("resolved %+v, %v", answer, err)
		}
		time.Sleep(90 * time.Minute) // a refresh
		w.dht.set(func(n *network) {
			if n.items[target].Seq != 9 {
				w.Errorf("the network holds seq %d after a refresh", n.items[target].Seq)
			}
		})
		rolledBack()
		w.Publish(contract.AuthorSeenSubject(alice.PublicKey()), []byte("{}")) // a look-up
		time.Sleep(time.Minute)
		if r := get[contract.Record](w, contract.BucketRecords, contract.RecordKey(target)); r.Seq != 9 || r.Superseded {
			w.Errorf("the record is %+v", r)
		}
		if l := get[contract.Author](w, contract.BucketAuthors, alice.PublicKey()).Lists[contract.ViaDHT]; l.Version != 9 {
			w.Errorf("list %+v", l)
		}
		w.noDeadLetters()
	})
}

func TestTwoValuesWithOneSeqAreToldAndNotFoughtOver(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.dhtworker(nil)
		l := list(w.T, user(w.T, "alice"), 3, relayURL(1))
		target := stage.TargetHex(l.Item)
		w.scheduleOnly(target)
		w.dht.set(func(n *network) { n.other[target] = true })
		w.sendEvent(l.DHT)
		time.Sleep(time.Minute)
		if told := outcomes[events.RecordPublished](w, events.SubjectRecordPublished); len(told) != 1 || !told[0].Equivocal {
			w.Errorf("told %+v", told)
		}
		start := time.Now()
		time.Sleep(5 * time.Hour)
		if n := within(w.dht.putsOf(target), start, time.Now()); n < 4 || n > 5 {
			w.Errorf("put %d times in five hours, want once an hour", n)
		}
		if r := get[contract.Record](w, contract.BucketRecords, contract.RecordKey(target)); r.Seq != 3 ||
			string(r.Value) != string(l.Item.Value) || r.Superseded {
			w.Errorf("the record is %+v", r)
		}
		w.noDeadLetters()
	})
}
