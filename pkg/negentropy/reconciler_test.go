package negentropy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// readItems reads a set in the format of the conformance suite, item,<timestamp>,<id>,
// from a file that may be compressed.
func readItems(t testing.TB, path string) []Item {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var text io.Reader = bytes.NewReader(raw)
	if strings.HasSuffix(path, ".gz") {
		if text, err = gzip.NewReader(text); err != nil {
			t.Fatal(err)
		}
	}
	var items []Item
	for in := bufio.NewScanner(text); in.Scan(); {
		fields := strings.Split(in.Text(), ",")
		ts, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		id, err := ParseID(fields[2])
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, Item{ts, id})
	}
	return items
}

// testingT is what *testing.T, *testing.F and *rapid.T share.
type testingT interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// result is what a session found, as sorted sets, and how large its messages were.
type result struct {
	have, need []ID
	up, down   []int
}

// checkTrue fails the test unless all that a message says of its ranges is so.
func checkTrue(t testingT, store Store, msg []byte) {
	t.Helper()
	for in := (reader{buf: msg[1:]}); in.more(); {
		said, err := in.statement()
		if err != nil {
			t.Fatal(err)
		}
		lo, hi := store.Search(0, said.lower.Item), store.Search(0, said.upper.Item)
		if said.mode == modeFingerprint && said.fingerprint != fingerprintOf(store, lo, hi) {
			t.Fatalf("a wrong fingerprint for items %d to %d of %d", lo, hi, store.Len())
		}
		if said.mode == modeIDList && !slices.Equal(said.ids, store.AppendIDs(nil, lo, hi)) {
			t.Fatalf("a wrong list of items %d to %d of %d", lo, hi, store.Len())
		}
	}
}

// reconcile runs a session between two stores and fails the test if it does not end.
func reconcile(t testingT, a, b Store, limitA, limitB int) result {
	t.Helper()
	return reconcileWith(t, a, b, Options{FrameLimit: limitA}, Options{FrameLimit: limitB})
}

func reconcileWith(t testingT, a, b Store, optsA, optsB Options) result {
	t.Helper()
	var res result
	optsA.Have = func(id ID) { res.have = append(res.have, id) }
	optsA.Need = func(id ID) { res.need = append(res.need, id) }
	alice, bob := NewReconciler(a, optsA), NewReconciler(b, optsB)
	check := func(store Store, msg []byte) {
		if !optsA.ReferenceOverflow {
			checkTrue(t, store, msg)
		}
	}
	msg := alice.Initiate()
	for {
		if over(len(msg), optsA.FrameLimit) {
			t.Fatalf("initiator's message has %d bytes, its frame limit is %d", len(msg), optsA.FrameLimit)
		}
		check(a, msg)
		if res.up = append(res.up, len(msg)); len(res.up) > 100_000 {
			t.Fatal("no end in sight")
		}
		answer, err := bob.Respond(msg)
		if err != nil {
			t.Fatalf("responder: %v", err)
		}
		if over(len(answer), optsB.FrameLimit) {
			t.Fatalf("answer has %d bytes, its frame limit is %d", len(answer), optsB.FrameLimit)
		}
		check(b, answer)
		res.down = append(res.down, len(answer))
		var done bool
		if msg, done, err = alice.Reconcile(answer); err != nil {
			t.Fatalf("initiator: %v", err)
		}
		if done {
			break
		}
	}
	res.have, res.need = sortedSet(res.have), sortedSet(res.need)
	return res
}

func sortedSet(ids []ID) []ID {
	slices.SortFunc(ids, func(a, b ID) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(ids)
}

// wantDifference returns the ids of a that b lacks.
func wantDifference(a, b []Item) []ID {
	in := make(map[ID]bool)
	for _, it := range b {
		in[it.ID] = true
	}
	var ids []ID
	for _, it := range a {
		if !in[it.ID] {
			ids = append(ids, it.ID)
		}
	}
	return sortedSet(ids)
}

func checkReconcile(t testingT, a, b []Item, limitA, limitB int) result {
	t.Helper()
	res := reconcile(t, NewVector(slices.Clone(a)), NewVector(slices.Clone(b)), limitA, limitB)
	if want := wantDifference(a, b); !slices.Equal(res.have, want) {
		t.Fatalf("limits %d and %d: have %d ids, want %d", limitA, limitB, len(res.have), len(want))
	}
	if want := wantDifference(b, a); !slices.Equal(res.need, want) {
		t.Fatalf("limits %d and %d: need %d ids, want %d", limitA, limitB, len(res.need), len(want))
	}
	return res
}

// With these sets and limits, an implementation that drops an overflowing split
// but closes the message with the fingerprint of what comes after it loses 29
// differences.
func TestOverflowLosesNothing(t *testing.T) {
	a, b := readItems(t, "testdata/loss-a.txt.gz"), readItems(t, "testdata/loss-b.txt.gz")
	for _, limits := range [][2]int{{4096, 4096}, {60_000, 0}, {0, 0}} {
		checkReconcile(t, a, b, limits[0], limits[1])
		checkReconcile(t, b, a, limits[1], limits[0])
	}
	va, vb := NewVector(slices.Clone(a)), NewVector(slices.Clone(b))
	onlyA, onlyB := wantDifference(a, b), wantDifference(b, a)
	full := 61_172 + splitCost // where the initiator's messages are as full as the reference's of that limit
	for limitA := full - 64; limitA <= full+64; limitA++ {
		for _, limitB := range []int{65_640 - 64, 65_640, 65_640 + 64} {
			if res := reconcile(t, va, vb, limitA, limitB); !slices.Equal(res.have, onlyA) || !slices.Equal(res.need, onlyB) {
				t.Errorf("limits %d and %d: have %d of %d, need %d of %d", limitA, limitB,
					len(res.have), len(onlyA), len(res.need), len(onlyB))
			}
		}
	}
}

func TestReferenceOverflowLosesDifferences(t *testing.T) {
	a, b := readItems(t, "testdata/loss-a.txt.gz"), readItems(t, "testdata/loss-b.txt.gz")
	res := reconcileWith(t, NewVector(slices.Clone(a)), NewVector(slices.Clone(b)),
		Options{FrameLimit: 61_172, ReferenceOverflow: true}, Options{FrameLimit: 65_640, ReferenceOverflow: true})
	lost := len(wantDifference(a, b)) - len(res.have) + len(wantDifference(b, a)) - len(res.need)
	if lost != 29 {
		t.Errorf("%d differences lost, want the 29 that the reference loses", lost)
	}
}

// With a frame limit the number of round trips is about what the bytes of the fuller
// direction take: the reference takes up to twice as many.
func TestBothDirectionsStayFull(t *testing.T) {
	const n, apart, limit = 100_000, 2_000, 15_000
	all := randomItems(n+apart/2, 1)
	a, b := NewVector(slices.Clone(all[:n])), NewVector(slices.Clone(all[apart/2:]))
	trips := func(reference bool) float64 {
		opts := Options{FrameLimit: limit, ReferenceOverflow: reference}
		res := reconcileWith(t, a, b, opts, opts)
		if len(res.have) != apart/2 || len(res.need) != apart/2 {
			t.Fatalf("have %d, need %d of %d", len(res.have), len(res.need), apart/2)
		}
		up, down := 0, 0
		for i := range res.up {
			up, down = up+res.up[i], down+res.down[i]
		}
		return float64(len(res.up)*limit) / float64(max(up, down))
	}
	ours, reference := trips(false), trips(true)
	t.Logf("round trips beside what the bytes take: %.2f, the reference %.2f", ours, reference)
	if ours > 1.25 || ours > 0.9*reference {
		t.Errorf("round trips beside what the bytes take: %.2f, the reference %.2f", ours, reference)
	}
}

func TestNothingLostOrInvented(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSets(t, 3000)
		free := checkReconcile(t, a, b, 0, 0)
		sizes := slices.Concat(free.up, free.down)
		framed := checkReconcile(t, a, b, drawLimit(t, sizes, "a"), drawLimit(t, sizes, "b"))
		sizes = slices.Concat(framed.up, framed.down)
		checkReconcile(t, a, b, drawLimit(t, sizes, "a again"), drawLimit(t, sizes, "b again"))
	})
}

// A session allocates its buffers and no more, whatever the number of messages.
func TestAllocations(t *testing.T) {
	h := newHasher()
	if testing.AllocsPerRun(10, func() { h.hash.AppendBinary(h.state[:0]) }) > 0 {
		t.Skip("the standard library itself allocates under the race detector")
	}
	a, b := NewVector(randomItems(50_000, 1)), NewVector(randomItems(51_000, 1)[1000:])
	for _, limit := range []int{0, 60_000} {
		allocs := testing.AllocsPerRun(3, func() {
			alice, bob := NewReconciler(a, Options{FrameLimit: limit}), NewReconciler(b, Options{FrameLimit: limit})
			for msg, done := alice.Initiate(), false; !done; {
				answer, err := bob.Respond(msg)
				if err != nil {
					t.Fatal(err)
				}
				if msg, done, err = alice.Reconcile(answer); err != nil {
					t.Fatal(err)
				}
			}
		})
		if allocs >= 100 {
			t.Errorf("frame limit %d: %v allocations, want less than 100", limit, allocs)
		}
	}
}
