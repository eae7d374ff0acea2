package negentropy

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"

	"pgregory.net/rapid"
)

// randomID makes an id that looks like a hash.
func randomID(rng *rand.Rand) (id ID) {
	for i := 0; i < idSize; i += 8 {
		binary.LittleEndian.PutUint64(id[i:], rng.Uint64())
	}
	return id
}

// shapes of timestamps, from all the same to all over 64 bits.
var timestampShapes = map[string]func(*rand.Rand) uint64{
	"equal":  func(*rand.Rand) uint64 { return 1_700_000_000 },
	"few":    func(r *rand.Rand) uint64 { return 1_700_000_000 + r.Uint64N(5) },
	"year":   func(r *rand.Rand) uint64 { return 1_700_000_000 + r.Uint64N(365*86400) },
	"zero":   func(r *rand.Rand) uint64 { return r.Uint64N(2) },
	"far":    func(r *rand.Rand) uint64 { return math.MaxUint64 - 1 - r.Uint64N(1000) },
	"any":    func(r *rand.Rand) uint64 { return min(r.Uint64(), math.MaxUint64-1) },
	"beyond": func(r *rand.Rand) uint64 { return frontier - 500 + r.Uint64N(1000) },
}

// shapes of ids: like hashes, in groups that are equal in 31 bytes, and all but
// the carry of a sum. Ids of few random bits would not do: a fingerprint is a sum,
// and two sets of as many such ids soon have the same one.
var idShapes = map[string]func(*rand.Rand) func() ID{
	"hash": func(r *rand.Rand) func() ID { return func() ID { return randomID(r) } },
	"31 bytes equal": func(r *rand.Rand) func() ID {
		var id ID
		return func() ID {
			if id[idSize-1] += 3; id[idSize-1] < 128 {
				id = randomID(r)
			}
			return id
		}
	},
	"all ones": func(r *rand.Rand) func() ID {
		return func() ID {
			id := ID(bytes.Repeat([]byte{0xff}, idSize))
			binary.LittleEndian.PutUint32(id[:], r.Uint32())
			return id
		}
	},
}

// drawSets draws two sets: what they share and what each has alone, in any order
// and with repetitions.
func drawSets(t *rapid.T, most int) (a, b []Item) {
	timestamp := timestampShapes[rapid.SampledFrom(sortedKeys(timestampShapes)).Draw(t, "timestamps")]
	shape := idShapes[rapid.SampledFrom(sortedKeys(idShapes)).Draw(t, "ids")]
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	newID := shape(rng)
	seen := make(map[ID]bool)
	items := func(n int) []Item {
		var list []Item
		for range n {
			if id := newID(); !seen[id] {
				seen[id] = true
				list = append(list, Item{timestamp(rng), id})
			}
		}
		return list
	}
	size := rapid.OneOf(rapid.IntRange(0, 2), rapid.IntRange(0, 100), rapid.IntRange(0, most))
	shared := items(size.Draw(t, "shared"))
	a = append(items(size.Draw(t, "only a")), shared...)
	b = append(items(size.Draw(t, "only b")), shared...)
	// What the loss needs: the newest items are on one side only.
	for i := range rapid.IntRange(0, len(b)-len(shared)).Draw(t, "newest b") {
		if ts := b[i].Timestamp; ts < math.MaxUint64-1-1e9 {
			b[i].Timestamp = ts + 1e9
		}
	}
	for _, set := range []*[]Item{&a, &b} {
		if n := len(*set); n > 0 {
			*set = append(*set, (*set)[:min(n, 3)]...)
		}
		rng.Shuffle(len(*set), func(i, j int) { (*set)[i], (*set)[j] = (*set)[j], (*set)[i] })
	}
	return a, b
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// drawLimit draws a frame limit: none, the least, any, or one at which a message
// of the given sizes just fits or just does not.
func drawLimit(t *rapid.T, sizes []int, label string) int {
	limits := []*rapid.Generator[int]{
		rapid.Just(0), rapid.Just(MinFrameLimit), rapid.IntRange(MinFrameLimit, 70_000),
	}
	sizes = slices.DeleteFunc(slices.Clone(sizes), func(n int) bool { return n < MinFrameLimit })
	if len(sizes) > 0 {
		near := rapid.Custom(func(t *rapid.T) int {
			reserve := rapid.SampledFrom([]int{0, frameReserve}).Draw(t, "reserve")
			n := rapid.SampledFrom(sizes).Draw(t, "size") + reserve + rapid.IntRange(-64, 64).Draw(t, "off by")
			return max(n, MinFrameLimit)
		})
		limits = append(limits, near, near, near)
	}
	return rapid.OneOf(limits...).Draw(t, label)
}
