package reconcile

import (
	"time"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Direction says which side is written to.
type Direction int

// The directions of a sync. Up is from A to B, Down from B to A; None only
// counts.
const (
	None Direction = 0
	Up   Direction = 1
	Down Direction = 2
	Both           = Up | Down
)

// writes reports whether a side is written to.
func (d Direction) writes(to negentropy.Side) bool {
	if to == negentropy.SideB {
		return d&Up != 0
	}
	return d&Down != 0
}

// Options of a sync. The zero value counts differences.
type Options struct {
	Direction Direction

	// UploadPrivate writes events of private kinds to B, too: direct messages
	// and gift wraps, which concern nobody but the relays of their recipients.
	UploadPrivate bool

	// Denied asks whether the operator wants an event on neither side; nil denies
	// nothing. It is called by many goroutines.
	Denied func(e *nostr.Event) bool

	// Refused asks whether a side was not given an event in an earlier sync, so
	// that it is neither read nor offered again. Remember notes that in this
	// sync the side refused one, or our rules kept it back; it is not called for
	// refusals that are about the moment. Both may be nil, and are called by many
	// goroutines.
	Refused  func(to negentropy.Side, id negentropy.ID) bool
	Remember func(Refusal)

	// Progress is called after every step, by one goroutine at a time, and must
	// not take long. May be nil.
	Progress func(Figures)

	// Sample is how many events of each side that is read are asked of the other
	// by REQ once all is proved, see [Doubt]; 0 asks for none.
	Sample int

	// GaveBack are ids of events that a side was given in earlier syncs, and gave
	// back when asked, by that side. It does not keep what it is given if it lacks
	// most of them now.
	GaveBack [2][]string

	// Cache holds events that earlier syncs have read, and takes what this one reads;
	// nil is none.
	Cache *Cache
	// Lacks is told which events a side lacks and is not to be given, some of them
	// twice; Give are those that a side is known to lack, which are written to it without
	// being found first. Lacks may be nil, and is called by one goroutine.
	Lacks func(to negentropy.Side, id negentropy.ID)
	Give  [2][]negentropy.ID

	// Enough says why a relay is not to be asked for more now, nil as long as it is. It is asked after each page of a list,
	// which ends there if it can, and before each span of time but the first: what was listed by then is compared, and the
	// sync ends with that error, see [Result.Settled]. Nil is never.
	Enough func() error

	// MaxMessages bounds the negentropy messages of one window; 0 is 100,000,
	// which is enough for some ten million differences.
	MaxMessages int

	// Now is the clock by which events are expired or from the future; nil is
	// time.Now.
	Now func() time.Time
}

// Figures say how far a sync has come.
type Figures struct {
	OnlyA       int   `json:"only_a"`      // ids found that only A has
	OnlyB       int   `json:"only_b"`      // ids found that only B has
	ToA         int   `json:"to_a"`        // events written to A and confirmed
	ToB         int   `json:"to_b"`        // events written to B and confirmed
	Refused     int   `json:"refused"`     // events that the side that lacks them refused, or does not keep
	Undelivered int   `json:"undelivered"` // events that a side lists and does not deliver as asked
	HeldBack    int   `json:"held_back"`   // events that our own rules keep back
	Messages    int   `json:"messages"`    // negentropy messages with other processes, both ways, both sides
	NegBytes    int64 `json:"neg_bytes"`   // their size, in hex as on the wire
	EventBytes  int64 `json:"event_bytes"` // size of the events read, about
	Passes      int   `json:"passes"`
	Windows     int   `json:"windows"` // spans of time that were compared on their own
}

// only returns the figure for what one side has alone.
func (f *Figures) only(s negentropy.Side) *int {
	if s == negentropy.SideA {
		return &f.OnlyA
	}
	return &f.OnlyB
}

// to returns the figure for what was written to a side.
func (f *Figures) to(s negentropy.Side) *int {
	if s == negentropy.SideA {
		return &f.ToA
	}
	return &f.ToB
}

// Plus returns the figures of two syncs together.
func (f Figures) Plus(g Figures) Figures {
	f.OnlyA += g.OnlyA
	f.OnlyB += g.OnlyB
	f.ToA += g.ToA
	f.ToB += g.ToB
	f.Refused += g.Refused
	f.Undelivered += g.Undelivered
	f.HeldBack += g.HeldBack
	f.Messages += g.Messages
	f.NegBytes += g.NegBytes
	f.EventBytes += g.EventBytes
	f.Passes += g.Passes
	f.Windows += g.Windows
	return f
}

// Refusal is an event that one side lacks and cannot be given, and why.
type Refusal struct {
	ID negentropy.ID
	To negentropy.Side // which lacks it
	Reason
}

// maxRefused is how many refusals a Result lists.
const maxRefused = 1000

// Result is what a sync came to.
type Result struct {
	Figures

	// Complete says that a last comparison found no difference in the wanted
	// directions but the events of Refusals.
	Complete bool
	// Why says why it is not complete, if there was no error.
	Why string
	// Refusals are the first 1,000 events that still differ, and why; Left is
	// how many there are.
	Refusals []Refusal
	Left     int
	// Settled says, after an error, from which created_at on nothing is left to be compared of a side that is listed, Unix
	// seconds: a sync whose filter ends a second before does the rest. It is 0 if there is none, and in sessions, where
	// to begin anew costs little.
	Settled int64
	// Doubts say, by side, in what a relay has contradicted itself. What Complete
	// says holds all the same: from then on the relay was listed.
	Doubts [2]Doubt
	// GaveBack are ids of a few events that a side was given and gave back, by that
	// side, for [Options].
	GaveBack [2][]string
	// Paged says, by side, that the relay was read page by page, as it does not speak
	// NIP-77.
	Paged [2]bool
}
