package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// contender is an implementation with both sets sealed.
type contender struct {
	name    string
	session func(limit int) (result, error)
	slow    bool              // takes a minute with a frame limit
	goals   map[int][]float64 // by frame limit: how many times our CPU time it is to take
}

// result is what a whole session sent and reported.
type result struct {
	traffic
	have, need []negentropy.ID
}

func play[M []byte | string](initiator, responder side[M]) (result, error) {
	t, err := drive(initiator, responder)
	if err != nil {
		return result{}, err
	}
	have, need := initiator.Found()
	return result{t, have, need}, nil
}

// contend seals both sets for each implementation, ours first. The goals without
// a frame limit are "at least 25 and 40 times" in both orders.
func contend(p pair) []contender {
	ourA, ourB := ourVector(p.a), ourVector(p.b)
	treeA, treeB := negentropy.NewTree(slices.Clone(p.a)).Snapshot(), negentropy.NewTree(slices.Clone(p.b)).Snapshot()
	theirA, theirB := newTheirVector(p.a), newTheirVector(p.b)
	illuzenA, illuzenB := newIlluzenVector(p.a), newIlluzenVector(p.b)
	return []contender{
		{name: "relaymesh, Vector", session: func(limit int) (result, error) {
			return play[[]byte](newOurs(ourA, limit), newOurs(ourB, limit))
		}},
		{name: "relaymesh, Tree", session: func(limit int) (result, error) {
			return play[[]byte](newOurs(treeA, limit), newOurs(treeB, limit))
		}},
		{name: "relaymesh, Vector, the reference's messages", session: func(limit int) (result, error) {
			return play[[]byte](newReference(ourA, limit), newReference(ourB, limit))
		}, goals: map[int][]float64{frame: {1}}},
		{name: "go-nostr", slow: true, session: func(limit int) (result, error) {
			return play[string](newTheirs(theirA, limit), newTheirs(theirB, limit))
		}, goals: map[int][]float64{frame: {300}, 0: {25, 40}}},
		{name: "illuzen", slow: true, session: func(limit int) (result, error) {
			return play[[]byte](newIlluzen(illuzenA, limit), newIlluzen(illuzenB, limit))
		}, goals: map[int][]float64{frame: {150}, 0: {40, 25}}},
	}
}

// sessions measures whole reconciliations.
func (b *bench) sessions(p pair) error {
	contenders := contend(p)
	fmt.Println("| session | frame limit | CPU ms | times ours | round trips | bytes up | bytes down | allocations |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, limit := range []int{frame, 0} {
		where := fmt.Sprintf("frame limit %d", limit)
		if limit == 0 {
			where = "no frame limit"
		}
		var ours cost
		for i, c := range contenders {
			runs := b.runs
			if c.slow && limit > 0 {
				runs = 1
			}
			took, r, err := b.session(c, limit, runs, p, ours)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if i == 0 {
				ours = took
			}
			if i == 0 && limit > 0 {
				trips, fuller := float64(r.roundTrips), float64(max(r.up, r.down))
				b.atMost("round trips x limit beside the bytes of the fuller direction, "+where, trips*float64(limit)/fuller, 1.15)
			}
			for _, bound := range c.goals[limit] {
				b.atLeast("CPU of "+c.name+" against ours, "+where, took.ms()/ours.ms(), bound)
			}
		}
		b.atMost("allocations of a session, both sides, "+where, float64(ours.allocs), 200)
	}
	fmt.Println()
	return nil
}

// session measures one implementation and checks what it reported.
func (b *bench) session(c contender, limit, runs int, p pair, ours cost) (took cost, r result, err error) {
	took = measure(runs, func() { r, err = c.session(limit) })
	if err != nil {
		return took, r, err
	}
	if !slices.Equal(set(r.have), p.onlyA) || !slices.Equal(set(r.need), p.onlyB) {
		return took, r, errors.New("wrong differences")
	}
	times := 1.0
	if ours.cpu > 0 {
		times = took.ms() / ours.ms()
	}
	fmt.Printf("| %s | %d | %.1f | %.1f | %d | %d | %d | %d |\n",
		c.name, limit, took.ms(), times, r.roundTrips, r.up, r.down, took.allocs)
	return took, r, nil
}
