// Package health decides how long a relay that fails is left alone. Whoever uses
// relays keeps a [State] of each, in memory or in KV, reports to it how a use
// ended, and asks it before the next. It has no clock and does no I/O.
package health

import "time"

// State is how a relay does in one [Use]. The zero value is a relay of which no
// failure is known.
type State struct {
	Failures       int       // in a row
	LeftAloneUntil time.Time // zero is now
	Since          time.Time // when the first of them was; KV does not hold it
}

// Event is how a use of a relay ended.
type Event int

const (
	Answered Event = iota
	// Failed: it may go well another time.
	Failed
	// Refused: the relay does not serve us, and will not soon.
	Refused
)

// longest is after how many failures the wait of every use is the longest.
const longest = 33

// Next returns the state after an event at now; jitter, from 0 up to 1, spreads
// the wait ([backoff.Backoff.Wait]). A failure while the relay is left alone was
// under way with the one before it, or is that one, and counts no more.
func (u Use) Next(s State, e Event, now time.Time, jitter float64) State {
	switch {
	case e == Answered:
		return State{}
	case e == Refused:
		s.Failures = max(s.Failures+1, u.tolerated+longest)
	case s.LeftAlone(now):
		return s
	default:
		s.Failures++
	}
	if s.LeftAloneUntil = (time.Time{}); s.Since.IsZero() {
		s.Since = now
	}
	wait := u.wait
	if away := now.Sub(s.Since); e == Failed && away < u.soonFor {
		wait = u.soon
		wait.Most = min(wait.Most, max(wait.First, away/4))
	}
	if n := s.Failures - u.tolerated; n > 0 {
		s.LeftAloneUntil = now.Add(wait.Wait(n, jitter))
	}
	return s
}

// LeftAlone reports whether the relay must not be used now.
func (s State) LeftAlone(now time.Time) bool { return now.Before(s.LeftAloneUntil) }

// Attempts returns how often a use may be tried in one turn: while the relay is
// left alone not at all, after that once, and else as often as is tolerated and
// once more.
func (u Use) Attempts(s State, now time.Time) int {
	switch {
	case s.LeftAlone(now):
		return 0
	case s.Failures > u.tolerated:
		return 1
	}
	return u.tolerated + 1
}

// Steady reports whether a connection or subscription that ended has lasted long
// enough to have gone well.
func (u Use) Steady(lasted time.Duration) bool { return lasted >= u.steady }

// Suspect reports whether a relay may hold up a worker: it failed, or its last
// use took long.
func (u Use) Suspect(s State, took time.Duration) bool { return s.Failures > 0 || took > u.slow }

// Stored reads a state of KV, where the time is Unix seconds or 0.
func Stored(failures int, leftAloneUntil int64) State {
	s := State{Failures: failures}
	if leftAloneUntil != 0 {
		s.LeftAloneUntil = time.Unix(leftAloneUntil, 0)
	}
	return s
}

// Unix returns LeftAloneUntil as KV holds it.
func (s State) Unix() int64 {
	if s.LeftAloneUntil.IsZero() {
		return 0
	}
	return s.LeftAloneUntil.Unix()
}
