package main

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// pair is two sets of which the difference is known.
type pair struct {
	a, b         []negentropy.Item
	onlyA, onlyB []negentropy.ID // sorted
}

// scattered makes two sets of n items, spread over a year, of which each has
// half of the differences alone. The items come in no order.
func scattered(rng *rand.Rand, n, differences int) pair {
	const start, year = 1_700_000_000, 365 * 86400
	return overlapping(rng, n, differences/2, differences/2, func() uint64 { return start + rng.Uint64N(year) })
}

// overlapping makes two sets that share all but what each has alone. n is the
// size of the larger one.
func overlapping(rng *rand.Rand, n, onlyA, onlyB int, timestamp func() uint64) pair {
	items := make([]negentropy.Item, n+min(onlyA, onlyB))
	for i := range items {
		items[i].Timestamp = timestamp()
		for j := 0; j < len(negentropy.ID{}); j += 8 {
			binary.LittleEndian.PutUint64(items[i].ID[j:], rng.Uint64())
		}
	}
	end := len(items) - onlyB
	return pair{
		a: slices.Clone(items[:end]), onlyA: ids(items[:onlyA]),
		b: slices.Clone(items[onlyA:]), onlyB: ids(items[end:]),
	}
}

func ids(items []negentropy.Item) []negentropy.ID {
	list := make([]negentropy.ID, len(items))
	for i := range items {
		list[i] = items[i].ID
	}
	return set(list)
}

// set sorts ids and drops repetitions.
func set(list []negentropy.ID) []negentropy.ID {
	slices.SortFunc(list, func(a, b negentropy.ID) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(list)
}
