package run

import (
	"maps"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// lacking is what the relays of a [star] are known to lack, by relay. What it does
// not hold is found by comparing them.
type lacking struct {
	middle map[string]ids // the relay has it, and the middle lacked it
	others map[string]ids // the relay lacks it, and the middle has it
	came   ids            // what the middle has got since
}

func newLacking() lacking {
	return lacking{middle: map[string]ids{}, others: map[string]ids{}, came: ids{}}
}

// ids are of events.
type ids map[negentropy.ID]struct{}

// maxLacking bounds the ids of one relay: 10 MB.
const maxLacking = 200_000

func (s ids) add(id negentropy.ID) {
	if len(s) < maxLacking {
		s[id] = struct{}{}
	}
}

func (s ids) has(id negentropy.ID) bool {
	_, ok := s[id]
	return ok
}

// note returns what is told of a comparison of the middle (A) with a relay (B).
func (l lacking) note(relay string) func(to negentropy.Side, id negentropy.ID) {
	l.middle[relay], l.others[relay] = ids{}, ids{}
	return func(to negentropy.Side, id negentropy.ID) {
		if to == negentropy.SideA {
			l.middle[relay].add(id)
		} else {
			l.others[relay].add(id)
		}
	}
}

// give returns what is to be given to the middle and to a relay, which counts as done.
func (l lacking) give(relay string) (to [2][]negentropy.ID) {
	for id := range l.middle[relay] {
		if !l.came.has(id) {
			to[negentropy.SideA] = append(to[negentropy.SideA], id)
		}
	}
	to[negentropy.SideB] = slices.Collect(maps.Keys(l.others[relay]))
	l.others[relay] = ids{}
	return to
}

// brings notes what the middle has got from a relay, which others may lack.
func (l lacking) brings(relay string, list []negentropy.ID) {
	for _, id := range list {
		l.came.add(id)
		for other, lacks := range l.others {
			if other != relay && !l.middle[other].has(id) {
				lacks.add(id)
			}
		}
	}
}
