package contract

import (
	"slices"
	"time"
)

// How far off a time may be that one clock wrote and another reads.
const (
	// clockSkew is how much the clocks of workers may differ. It is no more than
	// tails and live subscriptions overlap, so that what they read again covers it.
	clockSkew = 10 * time.Minute
	// maxInterval is the longest that a stage waits for its next turn, see [Cron],
	// and maxWait the longest that a relay is left alone: a day, and a quarter by
	// jitter.
	maxInterval = 24 * time.Hour
	maxWait     = maxInterval + maxInterval/4
)

// Believe is the one guard for times that were written down: it returns t, unless
// at now (both Unix seconds) it is farther ahead than most and the skew of clocks.
// Then a clock was ahead that wrote it, by a year perhaps, and it says nothing:
// 0, which every such field takes for "never" or "now".
func Believe(t, now int64, most time.Duration) int64 {
	if t > now+int64((most+clockSkew)/time.Second) {
		return 0
	}
	return t
}

// past forgets those of the times that are to have passed by now and have not.
func past(now int64, times ...*int64) {
	for _, t := range times {
		*t = Believe(*t, now, 0)
	}
}

// believed returns those of the times that have passed by now.
func believed(times []int64, now int64) []int64 {
	return slices.DeleteFunc(slices.Clone(times), func(at int64) bool { return Believe(at, now, 0) == 0 })
}

// Believe forgets the times that cannot be so at now; whoever reads the bucket
// calls it, and the same for the values of the others.
func (a *Author) Believe(now int64) {
	past(now, &a.FirstSeen, &a.LastSeen)
	a.NextResolve = Believe(a.NextResolve, now, maxInterval)
	for target, at := range a.Records {
		a.Records[target] = Believe(at, now, 0)
	}
}

// Believe is that of [Author.Believe].
func (r *Record) Believe(now int64) {
	past(now, &r.VerifiedAt)
	r.NextDue = Believe(r.NextDue, now, maxInterval)
}

// Believe is that of [Author.Believe].
func (r *Relay) Believe(now int64) {
	past(now, &r.FirstSeen, &r.ProbedAt, &r.Answered, &r.Delivered, &r.SurveyedAt, &r.Named)
	r.SurveyRetryAt = Believe(r.SurveyRetryAt, now, MaxSurveyWait+MaxSurveyWait/4)
	r.NextProbe, r.RetryAt = Believe(r.NextProbe, now, maxWait), Believe(r.RetryAt, now, maxWait)
	r.SurveyRoomAt = Believe(r.SurveyRoomAt, now, maxWait)
	r.Asked = believed(r.Asked, now)
}

// Believe is that of [Author.Believe].
func (s *Sync) Believe(now int64) {
	past(now, &s.LastOK, &s.LastTry, &s.Through, &s.Live, &s.SampledAt)
	s.Asked = believed(s.Asked, now)
	if s.Progress != nil && Believe(s.Progress.Begun, now, 0) == 0 {
		s.Progress = nil
	}
	if s.Progress != nil && s.Progress.Part != nil && Believe(s.Progress.Part.At, now, 0) == 0 {
		s.Progress.Part = nil
	}
	if s.Doubt != nil && Believe(s.Doubt.At, now, 0) == 0 {
		s.Doubt = nil
	}
	if s.Paged != nil {
		for key, read := range s.Paged.Read {
			read.Believe(now)
			s.Paged.Read[key] = read
		}
	}
}

// Believe is that of [Author.Believe]; versions of lists are no times.
func (l *Link) Believe(now int64) {
	if l.Read != nil {
		l.Read.Believe(now)
	}
	if at, found := l.Via[ViaDelivered]; found {
		l.Via[ViaDelivered] = Believe(at, now, 0)
	}
}

// Believe is that of [Author.Believe].
func (r *Read) Believe(now int64) {
	past(now, &r.At)
	r.Again = Believe(r.Again, now, MaxSurveyWait)
}

// MaxSurveyWait is the longest that a survey leaves a relay alone.
const MaxSurveyWait = 30 * 24 * time.Hour

// Believe is that of [Author.Believe].
func (s *Survey) Believe(now int64) {
	past(now, &s.Passed, &s.Met, &s.SinceAt)
	for key, look := range s.Looks {
		past(now, &look.At, &look.Read)
		look.Next = Believe(look.Next, now, MaxSurveyWait)
		s.Looks[key] = look
	}
}

// Believe is that of [Author.Believe].
func (r *Refused) Believe(now int64) { past(now, &r.At) }

// Believe is that of [Author.Believe].
func (c *Cursor) Believe(now int64) { past(now, &c.Since, &c.Compared) }

// Believe is that of [Author.Believe].
func (l *Lost) Believe(now int64) {
	past(now, &l.At)
	l.Until = Believe(l.Until, now, MaxLostFor)
}
