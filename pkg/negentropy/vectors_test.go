package negentropy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// vectorItems makes the items first <= i < end of a case in testdata/vectors.txt.
func vectorItems(first, end, perTimestamp int) []Item {
	var items []Item
	for i := first; i < end; i++ {
		items = append(items, Item{uint64(1000 + i/perTimestamp), sha256.Sum256([]byte(strconv.Itoa(i)))})
	}
	return items
}

// Where nothing overflows, every message is what other implementations send. The
// head of the file says which one made it, and by which command.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(string(text), "\ncase,")[1:]
	for _, limit := range []int{0, 16_384} {
		for _, c := range cases {
			lines := strings.Split(strings.TrimSpace(c), "\n")
			t.Run(fmt.Sprintf("%s, frame limit %d", lines[0], limit), func(t *testing.T) {
				var onlyA, shared, onlyB, per int
				if _, err := fmt.Sscanf(lines[0], "%d,%d,%d,%d", &onlyA, &shared, &onlyB, &per); err != nil {
					t.Fatal(err)
				}
				opts := Options{FrameLimit: limit}
				alice := NewReconciler(NewVector(vectorItems(0, onlyA+shared, per)), opts)
				bob := NewReconciler(NewTree(vectorItems(onlyA, onlyA+shared+onlyB, per)).Snapshot(), opts)
				msg, done := alice.Initiate(), false
				for _, line := range lines[1:] {
					from, want, _ := strings.Cut(line, ",")
					if from == "down" {
						var err error
						if msg, err = bob.Respond(msg); err != nil {
							t.Fatal(err)
						}
					}
					if got := hex.EncodeToString(msg); got != want {
						t.Fatalf("%s: %s\nwant %s", from, got, want)
					}
					if from == "down" {
						if msg, done, err = alice.Reconcile(msg); err != nil {
							t.Fatal(err)
						}
					}
				}
				if !done {
					t.Error("not done after the last message")
				}
			})
		}
	}
}

// Ids of all ones carry through the whole sum. Some implementations lose a carry
// here; big.Int does not.
func TestCarry(t *testing.T) {
	items := readItems(t, "testdata/carry.txt")
	v := NewVector(slices.Clone(items))
	for lo := range items {
		total := new(big.Int)
		for hi := lo + 1; hi <= len(items); hi++ {
			id := items[hi-1].ID
			slices.Reverse(id[:]) // ids are little-endian numbers
			total.Add(total, new(big.Int).SetBytes(id[:]))
			total.SetBit(total, 256, 0)
			sum := total.FillBytes(make([]byte, 32))
			slices.Reverse(sum)
			digest := sha256.Sum256(append(sum, byte(hi-lo)))
			if got := fingerprintOf(v, lo, hi); got != Fingerprint(digest[:16]) {
				t.Fatalf("fingerprint of items %d to %d is %x, want %x", lo, hi, got, digest[:16])
			}
		}
	}
}
