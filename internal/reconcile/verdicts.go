package reconcile

import (
	"fmt"
	"sync"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

const (
	// maxVerdicts bounds the events of one sync that cannot be transferred.
	maxVerdicts = 500_000
	// maxReasons bounds the different reasons that are kept word by word: some
	// relays put the event's id into each.
	maxReasons = 256
	// maxConfirmed bounds the events of which it is remembered that they were
	// confirmed. Beyond it, one that is not kept is transferred twice before
	// that is noticed.
	maxConfirmed = 100_000
)

// verdicts is what a sync has learnt about single events that a side lacks: that
// it cannot be given them, or that it has confirmed them. An entry takes about
// 40 bytes.
type verdicts struct {
	mu        sync.Mutex
	reasons   []Reason
	index     map[Reason]uint16
	refusals  [2]map[negentropy.ID]verdict // by the side that lacks it
	confirmed [2]map[negentropy.ID]int32   // by the side that has it now: the round
}

type verdict struct {
	pass   int32
	reason uint16 // its index
}

func newVerdicts() *verdicts {
	k := &verdicts{index: map[Reason]uint16{}}
	for s := range k.refusals {
		k.refusals[s] = map[negentropy.ID]verdict{}
		k.confirmed[s] = map[negentropy.ID]int32{}
	}
	return k
}

// refuse notes that in a round a side could not be given an event.
func (k *verdicts) refuse(r Refusal, round int32) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	of := k.refusals[r.To]
	if _, again := of[r.ID]; !again && len(of) >= maxVerdicts {
		return fmt.Errorf("more than %d events cannot be transferred, the last because: %s", maxVerdicts, r.Reason)
	}
	of[r.ID] = verdict{round, k.reasonIndex(r.Reason)}
	return nil
}

// reasonIndex returns the index of a reason; mu is held.
func (k *verdicts) reasonIndex(r Reason) uint16 {
	i, ok := k.index[r]
	if !ok && len(k.reasons) >= maxReasons {
		r.Code, r.Text = "", "other reasons"
		i, ok = k.index[r]
	}
	if !ok {
		i = uint16(len(k.reasons))
		k.reasons = append(k.reasons, r)
		k.index[r] = i
	}
	return i
}

// refused returns why a side cannot be given an event, and since which round.
func (k *verdicts) refused(to negentropy.Side, id negentropy.ID) (r Refusal, round int32, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, ok := k.refusals[to][id]
	if !ok {
		return Refusal{}, 0, false
	}
	return Refusal{id, to, k.reasons[v.reason]}, v.pass, true
}

// confirm notes that a side has confirmed an event.
func (k *verdicts) confirm(to negentropy.Side, id negentropy.ID, round int32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.confirmed[to]) < maxConfirmed {
		k.confirmed[to][id] = round
	}
}

// confirmedIn returns the round in which a side confirmed an event.
func (k *verdicts) confirmedIn(to negentropy.Side, id negentropy.ID) (round int32, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	round, ok = k.confirmed[to][id]
	return round, ok
}
