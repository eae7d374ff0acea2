package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Doubt says in what a relay has contradicted itself: its sessions, its answers to
// REQs and its OKs do not agree. The figures are those of a sample, the relay may
// have more. The zero Doubt is none.
type Doubt struct {
	Hidden int // events that it delivers, and its sessions do not list
	Absent int // events that its sessions list, and it does not deliver
	Lost   int // events that it said OK to, and does not deliver afterwards
	// Loses says that it is not worth being written to: of those events it
	// delivers less than half.
	Loses bool
}

// Some reports whether there is anything to say.
func (d Doubt) Some() bool { return d != Doubt{} }

// Plus returns the doubts of two syncs together.
func (d Doubt) Plus(e Doubt) Doubt {
	return Doubt{d.Hidden + e.Hidden, d.Absent + e.Absent, d.Lost + e.Lost, d.Loses || e.Loses}
}

// Unlisted reports whether its sessions are not to be believed, so that it is
// compared by listing it, see [Side].
func (d Doubt) Unlisted() bool { return d.Hidden+d.Absent > 0 }

// Sentence says it for people; name is that of the relay.
func (d Doubt) Sentence(name string) string {
	var parts []string
	for _, part := range []struct {
		count int
		words string
	}{
		{d.Hidden, "delivers %d or more events that its sessions do not list"},
		{d.Absent, "does not deliver %d or more events that its sessions list"},
		{d.Lost, "said OK to %d or more events that it does not deliver afterwards"},
	} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf(part.words, part.count))
		}
	}
	if d.Loses {
		parts = append(parts, "is not written to any more")
	}
	return name + " " + strings.Join(parts, ", and ")
}

const (
	// maxOwed is how many events a side may owe before it is asked for them again.
	maxOwed = 5
	// forgiven is how many events a side may lose and be written to all the same:
	// some that are deleted, or that it does not like.
	forgiven = 3
)

// owed counts the events that a side has said OK to and was asked for. Some relays
// show an event a moment later: those are asked for again.
type owed struct {
	turn chan struct{} // holds one while the side is asked, so that nobody writes more meanwhile

	mu             sync.Mutex
	events         []nostr.Event // not delivered at once
	lost           []nostr.Event // nor later, see [run.truncated]
	gaveBack       []string      // ids of events that were delivered, up to spots
	asked, missing int
	loses          bool
}

// take returns the events that are owed, if there are at least so many.
func (o *owed) take(least int) (list []nostr.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.events) >= max(least, 1) {
		list, o.events = o.events, nil
	}
	return list
}

// owes notes which events were asked for, and which of them did not come.
func (o *owed) owes(asked, missing []nostr.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked += len(asked)
	o.events = append(o.events, missing...)
	for _, e := range asked {
		if len(o.gaveBack) < spots && !slices.ContainsFunc(missing, func(m nostr.Event) bool { return m.ID == e.ID }) {
			o.gaveBack = append(o.gaveBack, e.ID)
		}
	}
}

// suspected reports whether anything was asked for that has not come.
func (o *owed) suspected() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.events)+o.missing > 0
}

// loseAll notes events that did not come, however often they were asked for.
func (o *owed) loseAll(list []nostr.Event) {
	o.lose(len(list))
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lost = append(o.lost, list...)
}

// lose counts events that the side has no more.
func (o *owed) lose(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.missing += n
	o.loses = o.missing >= forgiven && 2*o.missing > o.asked
}

// takeLost returns what was lost since it was called last.
func (o *owed) takeLost() (list []nostr.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	list, o.lost = o.lost, nil
	return list
}

// loses reports whether the side is not worth being written to.
func (l *session) loses() bool {
	l.owed.mu.Lock()
	defer l.owed.mu.Unlock()
	return l.owed.loses
}

// doubts returns all that the side has contradicted itself in.
func (l *session) doubts() Doubt {
	l.owed.mu.Lock()
	defer l.owed.mu.Unlock()
	d := l.doubt
	d.Lost, d.Loses = l.owed.missing, l.owed.loses
	return d
}

// notWritten is why a side is given no event.
func notWritten(to negentropy.Side, id negentropy.ID) Refusal {
	return Refusal{id, to, Reason{Cause: ByRelay, Code: NotKept, Text: "not written, as it does not keep what it says OK to"}}
}

// lasts reports whether a relay goes on to have an event for as long as it is the
// newest: it is neither replaced by others nor ephemeral.
func lasts(e *nostr.Event) bool {
	return e.Kind != nostr.KindDeletion && !nostr.Replaceable(e.Kind) && !nostr.Addressable(e.Kind)
}
