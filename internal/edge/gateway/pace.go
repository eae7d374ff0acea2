package gateway

import "time"

const (
	// So many reads, each so soon after the one before, and none of them the end of anything: the relay sends a long
	// run of events in small pieces.
	manyReads = 16
	soonAfter = 200 * time.Microsecond
	// gathering is for how long events then gather before the next read. To be woken for one takes several times what
	// it takes to pass it on.
	gathering = 300 * time.Microsecond
)

// pace decides how long to wait before the relay is read, so that a gateway with
// nothing else to do is not woken for each event of a long answer.
type pace struct {
	quick int // reads in a row
	last  time.Time
}

// wait returns how long to wait before a read at now. more says that the last read
// has left something.
func (p *pace) wait(now time.Time, more bool) time.Duration {
	if !p.last.IsZero() && now.Sub(p.last) > soonAfter {
		p.quick = 0
	}
	p.last = now
	if more {
		return 0
	}
	if p.quick++; p.quick <= manyReads {
		return 0
	}
	p.quick, p.last = manyReads-1, time.Time{} // a wait may take longer, and is no sign that less comes
	return gathering
}

// end is told of each message that is no event: a client may be waiting for what comes next.
func (p *pace) end() { p.quick = 0 }
