package negentropy

import (
	"errors"
	"fmt"
)

// ErrNoProgress is returned when a peer answers, but its answers lead nowhere.
var ErrNoProgress = errors.New("negentropy: peer makes no progress")

// DefaultMessageLimit is what a bridge assumes of a peer's messages, both ways,
// if nothing is known: 60,000 bytes are 120,000 as hex, which every relay takes.
const DefaultMessageLimit = 60_000

const (
	maxBarren  = 4       // answers in a row that settle nothing
	maxDepth   = 128     // answers that may lead to a question; two sets of 2^40 need 24
	maxBacklog = 1 << 13 // bytes of questions for one peer beyond which the other one opens no new ranges
)

// Side names one of the two peers of a bridge.
type Side int

// The sides of a bridge.
const (
	SideA Side = iota
	SideB
)

// String returns "A" or "B".
func (s Side) String() string { return string('A' + rune(s)) }

// Other returns the opposite side.
func (s Side) Other() Side { return 1 - s }

// SideOptions say what one peer of a bridge can do. The zero value is a remote
// peer of which nothing is known.
type SideOptions struct {
	// Store makes the side a local one: the bridge answers for it.
	Store Store

	// Accepts is the largest message that the peer takes, in bytes before hex
	// encoding. 0 means DefaultMessageLimit, less than MinFrameLimit means that.
	Accepts int

	// Answers is the largest message that the peer makes: its frame limit. The
	// bridge asks no more at once than it expects to be answered within it. 0
	// means DefaultMessageLimit. A lower limit is learnt when it shows.
	Answers int

	// Whole says that the peer is one of [Options].Whole, and ours: what it says of all that it was asked for is believed,
	// as one fingerprint of a stranger, who may have had to cut the answer there, is not.
	Whole bool
}

// BridgeOptions configure a Bridge. The zero value bridges two remote peers of
// which nothing is known, and drops what it finds.
type BridgeOptions struct {
	A, B SideOptions

	// OnlyA and OnlyB are called for each id that only one side has, as soon as
	// both sides' answers show it. Either may be nil.
	OnlyA, OnlyB func(ID)

	// MaxMessages caps the messages made for both peers, over all passes;
	// MaxDifferences the ids reported in one pass. 0 means no cap.
	MaxMessages, MaxDifferences int
}

// Bridge reconciles two responders with each other and holds no set of its own:
// what one peer answers is the question for the other. The caller moves the
// bytes. A bridge is not safe for concurrent use.
//
// A pass covers everything. When it is Done, every difference has been reported;
// it is Proved when there was none. After the differences have been transferred,
// Restart begins the pass that proves it: with both sides equal it is two
// messages a side long.
type Bridge struct {
	opts   BridgeOptions
	peers  [2]peer
	diff   difference
	only   [2]func(ID) // counts and reports
	found  int         // differences in this pass
	shown  [2]uint64   // see Floor: the timestamp for each side, in its session
	before uint64      // the same of all former sessions of both sides
	err    error
}

// NewBridge starts the first pass.
func NewBridge(opts BridgeOptions) *Bridge {
	b := &Bridge{opts: opts, peers: [2]peer{newPeer(opts.A), newPeer(opts.B)}}
	b.only = [2]func(ID){b.counted(opts.OnlyA), b.counted(opts.OnlyB)}
	b.Restart()
	return b
}

func (b *Bridge) counted(report func(ID)) func(ID) {
	return func(id ID) {
		b.found++
		if report != nil && !over(b.found, b.opts.MaxDifferences) {
			report(id)
		}
	}
}

// Restart begins another pass. It must be called only when the bridge is Done;
// the peers' sessions may be new ones.
//
// Each side is asked for a part, so that both read their sets at the same time:
// for a relay, that can take seconds.
func (b *Bridge) Restart() {
	b.found, b.shown, b.before = 0, [2]uint64{infinity, infinity}, 0
	first := SideA
	if b.peers[SideB].responder != nil {
		first = SideB // a local store is asked for nothing
	}
	var most, rest chain
	most.add(ask(bound{}, frontierBound(), 0))
	rest.add(ask(frontierBound(), endBound(), 0))
	b.peers[first].queue.add(most.runs)
	b.peers[first.Other()].queue.add(rest.runs)
	b.pump()
}

// Done reports whether the pass has covered everything.
func (b *Bridge) Done() bool { return b.err == nil && b.idle(SideA) && b.idle(SideB) }

// Proved reports whether the pass has covered everything and found no difference.
func (b *Bridge) Proved() bool { return b.Done() && b.found == 0 }

// Floor returns the timestamp down to which this pass has seen all that the sides
// hold: each has shown an item that is no newer. Relays that cap their queries
// reconcile only the newest part of what they hold; such a one may hold more below
// the floor, but not above it. It returns false as long as a side has shown nothing.
func (b *Bridge) Floor() (timestamp uint64, ok bool) {
	timestamp = max(b.shown[SideA], b.shown[SideB], b.before)
	return timestamp, timestamp != infinity
}

// Reopened says that a side answers in another session from now on, which shows the
// newest part of what the side holds by now: a range that one session has shown is
// nothing that the next could not hide, so [Bridge.Floor] is that of the worst.
func (b *Bridge) Reopened(s Side) {
	b.before = max(b.before, b.shown[s])
	b.shown[s] = infinity
}

func (b *Bridge) idle(s Side) bool {
	return !b.peers[s].waiting && b.peers[s].queue.empty()
}

// Err returns the error that ended the bridge, or nil.
func (b *Bridge) Err() error { return b.err }

// Messages returns the number of messages made for a side so far.
func (b *Bridge) Messages(s Side) int { return b.peers[s].messages }

// Next returns the next message for a side, valid until the side is fed and not to
// be changed, as the bridge reads from it what it has asked. It returns false while
// an answer from the side is outstanding, when there is nothing to ask it now, for a
// local side and after an error.
func (b *Bridge) Next(s Side) (msg []byte, ok bool) {
	depth, ok := b.ready(s)
	if !ok || b.peers[s].responder != nil {
		return nil, false
	}
	if made := b.peers[SideA].messages + b.peers[SideB].messages; over(made+1, b.opts.MaxMessages) {
		b.err = fmt.Errorf("%w: more than %d messages", ErrLimit, b.opts.MaxMessages)
		return nil, false
	}
	return b.peers[s].message(depth), true
}

// ready reports whether a side is to be asked now, and the least depth of the
// questions to ask. While the other side is behind, only what is at least as deep
// as its next question is asked, so that no new ranges are opened meanwhile. The
// side that is deeper can always go on.
func (b *Bridge) ready(s Side) (depth int, ok bool) {
	own, other := &b.peers[s], &b.peers[s.Other()]
	if b.err != nil || own.waiting || own.queue.empty() {
		return 0, false
	}
	if other.queue.size > maxBacklog {
		depth = other.queue.next().depth
	}
	return depth, own.queue.next().depth >= depth
}

// Feed takes a side's answer to the message that Next returned, reports the
// differences that it shows, and readies the questions that follow from it. An
// error (ErrMalformed, ErrVersion, ErrLimit, ErrNoProgress) names the side and
// ends the bridge; what was reported before it stands.
func (b *Bridge) Feed(s Side, answer []byte) error {
	if b.err == nil && !b.peers[s].waiting {
		b.err = fmt.Errorf("%w: side %s answers nothing that was asked", ErrMalformed, s)
	}
	b.feed(s, answer)
	b.pump()
	return b.err
}

// feed takes an answer in, unless the bridge has ended.
func (b *Bridge) feed(s Side, answer []byte) {
	if b.err != nil {
		return
	}
	b.peers[s].waiting = false
	if err := b.hear(s, answer); err != nil {
		b.err = fmt.Errorf("side %s: %w", s, err)
	}
}

// pump lets a local side answer until it has nothing left to answer now.
func (b *Bridge) pump() {
	for s := range Side(len(b.peers)) {
		p := &b.peers[s]
		for p.responder != nil {
			depth, ok := b.ready(s)
			if !ok {
				break
			}
			answer, err := p.responder.Respond(p.message(depth))
			if err != nil {
				b.err = err
				return
			}
			b.feed(s, answer)
		}
	}
}
