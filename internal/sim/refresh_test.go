package sim_test

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// fill keeps n records in a slice and returns their targets, sorted.
func (w *world) fill(slice string, n int) (targets []string) {
	w.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	for i := 0; len(targets) < n; i++ {
		item := bep44.Item{Key: [32]byte(key.Public().(ed25519.PublicKey)), Salt: fmt.Append(nil, i), Seq: 1, Value: []byte("1:a")}
		target := stage.TargetHex(item)
		if contract.Slice(target) != slice {
			continue
		}
		if err := item.Sign(key); err != nil {
			w.Fatal(err)
		}
		var r contract.Record
		stage.SetItem(&r, item)
		put(w, contract.BucketRecords, contract.RecordKey(target), r)
		targets = append(targets, target)
	}
	slices.Sort(targets)
	return targets
}

// Whatever the operator's interval is: nodes that forget after two hours never
// lose a record, and nodes that keep what they hold are left alone.
func TestARecordIsRefreshedAsOftenAsItsNodesNeed(t *testing.T) {
	if testing.Short() {
		t.Skip("days of a schedule: races show in its first hours, which others pass")
	}
	for _, tc := range []struct {
		name    string
		forgets bool
		least   int // puts in a day and a half
		most    int
		begin   []dht.How
	}{
		{"nodes that keep", false, 1 + 3 + 2, 1 + 3 + 3, // after six hours, then after twelve
			[]dht.How{dht.Fresh, dht.Half, dht.Half, dht.Half, dht.Look, dht.Look}},
		{"nodes that forget", true, 35, 38, // a strict day, then they may prove themselves again
			slices.Concat([]dht.How{dht.Fresh, dht.Half, dht.Half}, slices.Repeat([]dht.How{dht.Renew}, 24),
				[]dht.How{dht.Half, dht.Half, dht.Renew})},
	} {
		inWorld(t, func(w *world) {
			w.refreshEvery = 6 * time.Hour
			w.dht.set(func(n *network) { n.forgets = tc.forgets })
			w.ingest(nil)
			w.dhtworker(nil)
			targets := w.signedRecords(2)
			w.scheduleOnly(targets...)
			time.Sleep(36 * time.Hour)
			for _, target := range targets {
				hows := w.dht.hows(target)
				if len(hows) < tc.least || len(hows) > tc.most || !slices.Equal(hows[:len(tc.begin)], tc.begin) {
					w.Errorf("%s: put %v in a day and a half, want %d to %d that begin with %v", tc.name, hows, tc.least, tc.most, tc.begin)
				}
				w.dht.set(func(n *network) {
					if n.lost[target] > 0 {
						w.Errorf("%s: the record was lost %d times", tc.name, n.lost[target])
					}
				})
			}
			w.noDeadLetters()
		})
	}
}

func count(hows []dht.How, want dht.How) (n int) {
	for _, how := range hows {
		if how == want {
			n++
		}
	}
	return n
}

// Nodes that kept a record once may forget the next: they are found out by the
// first refresh after that.
func TestNodesThatBeginToForgetLoseTheirTrust(t *testing.T) {
	if testing.Short() {
		t.Skip("days of a schedule: races show in its first hours, which others pass")
	}
	inWorld(t, func(w *world) {
		w.refreshEvery = 6 * time.Hour
		targets := w.fill("40", 3)
		w.scheduleOnly("40")
		w.dhtworker(nil)
		time.Sleep(5 * time.Hour) // trusted after the third
		w.dht.set(func(n *network) { n.forgets = true })
		time.Sleep(6 * time.Hour)
		w.dht.set(func(n *network) { clear(n.lost); n.puts = nil })
		time.Sleep(10 * time.Hour)
		for _, target := range targets {
			if r := get[contract.Record](w, contract.BucketRecords, contract.RecordKey(target)); r.Trust >= 0 {
				w.Errorf("record %s is trusted: %d", target, r.Trust)
			}
			if hows := w.dht.hows(target); len(hows) < 9 || count(hows, dht.Renew) != len(hows) {
				w.Errorf("record %s is put %v", target, hows)
			}
		}
		w.dht.set(func(n *network) {
			if len(n.lost) > 0 {
				w.Errorf("lost after that: %v", n.lost)
			}
		})
	})
}

// A worker that is killed in the middle of a slice costs a repetition of what
// it had in hand, whoever goes on: no other record is put twice in its
// interval, and none is left out.
func TestAKilledWorkerRepeatsAtMostWhatItHadInHand(t *testing.T) {
	const each, inHand = 40, 8
	filled := []string{"10", "11", "12", "13", "14", "15"} // a slice is due every 14 s
	for _, tc := range []struct {
		name    string
		replica bool // another worker is there to go on
	}{{"replica", true}, {"restart", false}} {
		inWorld(t, func(w *world) {
			w.refreshEvery = 6 * time.Hour
			var targets []string
			for _, slice := range filled {
				targets = append(targets, w.fill(slice, each)...)
			}
			w.scheduleOnly(filled...)
			w.dht.set(func(n *network) { n.latency = 2 * time.Second }) // a slice takes ten
			f := &faults{}
			first := w.dhtworker(f)
			if tc.replica {
				w.dhtworker(nil)
			}
			for len(w.puts()) < 2*each+3*inHand { // in the middle of the third slice
				time.Sleep(500 * time.Millisecond)
			}
			f.kill()
			first.die()
			if n := len(w.puts()); n > 3*each-inHand {
				w.Fatalf("%s: %d records had been put when the worker was killed", tc.name, n)
			}
			if !tc.replica {
				w.Restart(10 * time.Minute)
				w.scheduleOnly(filled...)
				w.dhtworker(nil)
			}
			time.Sleep(40 * time.Minute) // within the hour
			puts := map[string]int{}
			for _, p := range w.puts() {
				puts[p.target]++
			}
			var twice int
			for _, target := range targets {
				switch puts[target] {
				case 1:
				case 2:
					twice++
				default:
					w.Errorf("%s: record %s was put %d times", tc.name, target, puts[target])
				}
			}
			if twice > inHand {
				w.Errorf("%s: %d records were put twice, want at most the %d in hand", tc.name, twice, inHand)
			}
			w.inOrder(targets)
			w.noDeadLetters()
		})
	}
}

// inOrder checks that the records of a slice were put in the order of their
// targets, as far as several are put at a time.
func (w *world) inOrder(targets []string) {
	w.Helper()
	const atATime = 8
	seen, last := map[string]bool{}, map[string]int{}
	for _, p := range w.puts() {
		at, slice := slices.Index(targets, p.target), contract.Slice(p.target)
		if !seen[p.target] && at < last[slice]-atATime {
			w.Errorf("record %d was put after record %d", at, last[slice])
		}
		seen[p.target], last[slice] = true, max(last[slice], at)
	}
}

// puts are all puts so far.
func (w *world) puts() (list []dhtPut) {
	w.dht.set(func(n *network) { list = slices.Clone(n.puts) })
	return list
}
