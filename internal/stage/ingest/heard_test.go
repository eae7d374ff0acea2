package ingest

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

func heardIn(t *testing.T, store *memory[contract.Heard]) *heard {
	t.Helper()
	h, err := openHeard(t.Context(), store, "relay")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// randomItems share seconds, and some are of the first one.
func randomItems(n int) (items []negentropy.Item) {
	for range n {
		item := negentropy.Item{Timestamp: rand.Uint64N(uint64(n) / 4)}
		binary.BigEndian.PutUint64(item.ID[:], rand.Uint64())
		items = append(items, item)
	}
	return items
}

// Whatever is added and removed, in whichever order, a set of parts is that of one
// list, also when it is opened anew.
func TestAHeardSetIsWhatWasAddedAndNotRemoved(t *testing.T) {
	store := &memory[contract.Heard]{values: map[string]contract.Heard{}}
	h := heardIn(t, store)
	all := randomItems(5000)
	for some := range slices.Chunk(slices.Clone(all), 700) {
		if err := h.add(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.remove(t.Context(), slices.Clone(all[:1000])); err != nil {
		t.Fatal(err)
	}
	all = sorted(slices.Clone(all[1000:]))
	if len(h.parts) < 8 || h.floor() != 0 {
		t.Errorf("%d parts from %d on", len(h.parts), h.floor())
	}
	for name, set := range map[string]*heard{"as it is": h, "anew": heardIn(t, store)} {
		for range 50 {
			since, until := rand.Int64N(1250), rand.Int64N(1250)
			if since > until {
				until = 0
			}
			want := slices.DeleteFunc(slices.Clone(all), func(item negentropy.Item) bool {
				at := int64(item.Timestamp)
				return at < since || until > 0 && at > until
			})
			if got, err := set.load(t.Context(), since, until); err != nil || !slices.Equal(got, want) {
				t.Fatalf("%s, from %d to %d: %d items of %d, %v", name, since, until, len(got), len(want), err)
			}
		}
	}
	for key, value := range store.values {
		if n := len(unpack(value.Events)); n > partSize {
			t.Errorf("part %s holds %d", key, n)
		}
	}
}

// Spans, walked from the newest on, hold all, and none is empty or overlaps.
func TestTheSpansOfAHeardSetAreTheWholeOfIt(t *testing.T) {
	h := heardIn(t, &memory[contract.Heard]{values: map[string]contract.Heard{}})
	items := randomItems(6000)
	for i := range 1500 { // more than a span in one second
		items[i].Timestamp = 77
	}
	if err := h.add(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	var walked []negentropy.Item
	for until := int64(0); ; {
		since := h.span(until, 3)
		part, err := h.load(t.Context(), since, until)
		if err != nil || until > 0 && since > until {
			t.Fatalf("from %d to %d: %v", since, until, err)
		}
		walked = append(walked, part...)
		if since <= max(h.floor(), 1) {
			break
		}
		until = since - 1
	}
	if n := len(walked); n < 5900 || len(sorted(walked)) != n {
		t.Errorf("walked over %d events, %d of them once", n, len(sorted(walked)))
	}
}

// The oldest go, and what comes of their time is not heard again and again.
func TestAHeardSetIsBounded(t *testing.T) {
	store := &memory[contract.Heard]{values: map[string]contract.Heard{}}
	h := heardIn(t, store)
	for i := range maxParts + 10 {
		begin := negentropy.Item{Timestamp: uint64(1000 + i)}
		if i > 0 {
			h.parts = append(h.parts, begin)
		}
		if _, err := h.update(t.Context(), h.parts[len(h.parts)-1], func([]negentropy.Item) []negentropy.Item {
			return []negentropy.Item{begin}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.add(t.Context(), []negentropy.Item{{Timestamp: 900_000}}); err != nil {
		t.Fatal(err)
	}
	if len(h.parts) != maxParts || len(store.values) != maxParts || h.floor() != 1011 {
		t.Errorf("%d parts, %d stored, from %d on", len(h.parts), len(store.values), h.floor())
	}
	if since := h.span(0, 10*maxParts); since != h.floor() {
		t.Errorf("a span begins at %d", since)
	}
	if err := h.add(t.Context(), []negentropy.Item{{Timestamp: 5}}); err != nil || len(store.values) != maxParts {
		t.Errorf("what is below the floor is kept: %v", err)
	}
}

func TestWhatCannotBeReadOfAHeardSetIsLeftOut(t *testing.T) {
	items := sorted(randomItems(10))
	data := pack(items)
	for n := range data {
		if got := unpack(data[:n]); !slices.Equal(got, items[:len(got)]) {
			t.Fatalf("%d bytes: %v", n, got)
		}
	}
	if got := unpack(data); !slices.Equal(got, items) {
		t.Errorf("%v", got)
	}
	for _, key := range []string{"", "zz", "00", "0000000000000000000000000000000000"} {
		if _, err := parsePart(key); err == nil {
			t.Errorf("%q is a part", key)
		}
	}
}

// Two workers that do not know of each other's cuts lose nothing of what both heard.
func TestTwoWorkersWriteToOneHeardSet(t *testing.T) {
	store := &memory[contract.Heard]{values: map[string]contract.Heard{}}
	a, b, all := heardIn(t, store), heardIn(t, store), randomItems(3000)
	for n, some := range slices.Collect(slices.Chunk(slices.Clone(all), 300)) {
		for i, h := range []*heard{a, b} {
			if err := h.add(t.Context(), slices.Clone(some[:300-7*((n+i)%2)])); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.add(t.Context(), slices.Clone(some)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := heardIn(t, store).load(t.Context(), 0, 0); err != nil || !slices.Equal(got, sorted(all)) {
		t.Errorf("%d items of %d, %v", len(got), len(all), err)
	}
}
