package negentropy

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/negentropy/internal/reference"
)

// readItems reads a set in the format of the conformance suite: item,<timestamp>,<id>.
func readItems(t testing.TB, path string) []Item {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var items []Item
	for in := bufio.NewScanner(f); in.Scan(); {
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

// result is what a session found, as sorted sets.
type result struct {
	have, need []ID
	rounds     int
}

// reconcile runs a session between two stores and fails the test if it does not end.
func reconcile(t testing.TB, a, b Store, limitA, limitB int) result {
	t.Helper()
	var res result
	alice := NewReconciler(a, Options{
		FrameLimit: limitA,
		Have:       func(id ID) { res.have = append(res.have, id) },
		Need:       func(id ID) { res.need = append(res.need, id) },
	})
	bob := NewReconciler(b, Options{FrameLimit: limitB})
	msg := alice.Initiate()
	for {
		if over(len(msg), limitA) {
			t.Fatalf("initiator's message has %d bytes, its frame limit is %d", len(msg), limitA)
		}
		if res.rounds++; res.rounds > 100_000 {
			t.Fatal("no end in sight")
		}
		answer, err := bob.Respond(msg)
		if err != nil {
			t.Fatalf("responder: %v", err)
		}
		if over(len(answer), limitB) {
			t.Fatalf("answer has %d bytes, its frame limit is %d", len(answer), limitB)
		}
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

func checkReconcile(t testing.TB, a, b []Item, limitA, limitB int) result {
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
	a, b := readItems(t, "testdata/loss-a.txt"), readItems(t, "testdata/loss-b.txt")
	for _, limits := range [][2]int{{61_172, 65_640}, {65_640, 61_172}, {4096, 4096}, {60_000, 0}, {0, 0}} {
		checkReconcile(t, a, b, limits[0], limits[1])
		checkReconcile(t, b, a, limits[0], limits[1])
	}
}

func TestReferenceOverflowLosesDifferences(t *testing.T) {
	reference.Overflow = true
	defer func() { reference.Overflow = false }()
	a, b := readItems(t, "testdata/loss-a.txt"), readItems(t, "testdata/loss-b.txt")
	res := reconcile(t, NewVector(slices.Clone(a)), NewVector(slices.Clone(b)), 61_172, 65_640)
	lost := len(wantDifference(a, b)) - len(res.have) + len(wantDifference(b, a)) - len(res.need)
	if lost != 29 {
		t.Errorf("%d differences lost, want the 29 that the reference loses", lost)
	}
}
