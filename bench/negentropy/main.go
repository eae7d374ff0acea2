// Command negentropy compares package negentropy with other implementations in
// one process, on the same items, by CPU time, and prints a table and one line
// per goal. Run it by make bench-negentropy.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

func main() {
	items := flag.Int("items", 1_000_000, "items of each set")
	differences := flag.Int("differences", 10_000, "items that one of the sets lacks")
	runs := flag.Int("runs", 5, "runs of which the median counts")
	vectors := flag.Bool("vectors", false, "print test vectors instead")
	flag.Parse()
	if *vectors {
		exitOn(writeVectors(os.Stdout))
		return
	}

	b := bench{rng: rand.New(rand.NewPCG(1, 2)), runs: *runs}
	exitOn(b.run(*items, *differences))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	rng   *rand.Rand
	runs  int
	goals []string
}

func (b *bench) run(items, differences int) error {
	p := scattered(b.rng, items, differences)
	fmt.Printf("Two sets of %d items that differ by %d. CPU time of both sides; median of %d runs,\n"+
		"of one where go-nostr and illuzen have a frame limit.\n\n",
		items, differences, b.runs)
	b.seal(p.a)
	if err := b.sessions(p); err != nil {
		return err
	}
	if err := b.bridges(p, differences); err != nil {
		return err
	}
	for _, goal := range b.goals {
		fmt.Println(goal)
	}
	return nil
}

// atLeast and atMost state whether a goal is met.
func (b *bench) atLeast(what string, measured, bound float64) {
	b.goal(what, ">=", measured, bound, measured >= bound)
}

func (b *bench) atMost(what string, measured, bound float64) {
	b.goal(what, "<=", measured, bound, measured <= bound)
}

func (b *bench) goal(what, relation string, measured, bound float64, ok bool) {
	verdict := "short"
	if ok {
		verdict = "ok"
	}
	b.goals = append(b.goals, fmt.Sprintf("goal %s: %.4g (want %s %.4g) %s", what, measured, relation, bound, verdict))
}

// seal measures what it takes to make a store of items in no order.
func (b *bench) seal(items []negentropy.Item) {
	var copies [][]negentropy.Item
	for range b.runs {
		copies = append(copies, slices.Clone(items))
	}
	next := func() []negentropy.Item {
		last := copies[len(copies)-1]
		copies = copies[:len(copies)-1]
		return last
	}
	var vector *negentropy.Vector
	sealed := measure(b.runs, func() { vector = negentropy.NewVector(next()) })
	with := live()
	count := vector.Len()
	vector = nil
	perItem := float64(with-live()) / float64(count)

	for range b.runs {
		copies = append(copies, slices.Clone(items))
	}
	sorted := measure(b.runs, func() { slices.SortFunc(next(), negentropy.Item.Compare) })
	tree := measure(1, func() { negentropy.NewTree(slices.Clone(items)) })
	theirs := measure(1, func() { newTheirVector(items) })
	illuzens := measure(1, func() { newIlluzenVector(items) })

	fmt.Println("| seal, items in no order | CPU ms | allocations |")
	fmt.Println("|---|---|---|")
	fmt.Printf("| relaymesh Vector, %.0f bytes per item | %.1f | %d |\n", perItem, sealed.ms(), sealed.allocs)
	fmt.Printf("| relaymesh Tree | %.1f | %d |\n", tree.ms(), tree.allocs)
	fmt.Printf("| slices.SortFunc alone | %.1f | %d |\n", sorted.ms(), sorted.allocs)
	fmt.Printf("| go-nostr vector, insert and seal | %.1f | %d |\n", theirs.ms(), theirs.allocs)
	fmt.Printf("| illuzen vector, insert and seal | %.1f | %d |\n\n", illuzens.ms(), illuzens.allocs)
	b.atMost("seal of a Vector against slices.SortFunc", sealed.ms()/sorted.ms(), 1)
}

// bridges measures bridges of two local responders, as two relays would be.
func (b *bench) bridges(p pair, differences int) error {
	direct, err := drive[[]byte](newOurs(ourVector(p.a), frame), newOurs(ourVector(p.b), frame))
	if err != nil {
		return err
	}
	fmt.Println("| bridge, frame limit 60000 | differences | CPU ms, servers included | messages | peak memory, bytes |")
	fmt.Println("|---|---|---|---|---|")
	_, messages, err := b.bridge(p, false)
	if err != nil {
		return err
	}
	b.atMost("messages of a bridge against a direct session", float64(messages)/float64(2*direct.roundTrips), 1.3)

	sizes := []int{10_000, 1_000_000, 5_000_000}
	peaks := make([]float64, len(sizes))
	for i, n := range sizes {
		peak, _, err := b.bridge(scattered(b.rng, n, min(differences, sizes[0])), true)
		if err != nil {
			return err
		}
		peaks[i] = float64(peak)
	}
	fmt.Println()
	b.atMost("peak memory of a bridge, 5 M items against 1 M", peaks[2]/peaks[1], 1.1)
	b.atMost("peak memory of a bridge, largest against smallest of 10 k, 1 M and 5 M items", slices.Max(peaks)/slices.Min(peaks), 1.1)
	return nil
}
