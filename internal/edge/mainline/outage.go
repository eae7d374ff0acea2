package mainline

import (
	"context"
	"time"
)

// outageDetector tells whether it is our own network that fails when nobody answers. The outbox's lock guards it.
type outageDetector struct {
	lastReply  time.Time // when the latest reply came
	since      time.Time // when the first query after it was sent
	unanswered int       // how many were sent since then
	latest     time.Time // when the latest of them was

	outage struct{ from, to time.Time } // the latest
}

// querySent notes that a query is sent.
func (s *outageDetector) querySent(now time.Time) {
	if s.unanswered > 0 && now.Sub(s.latest) > giveUp { // nobody was waited for any more
		s.unanswered = 0
	}
	if s.unanswered == 0 {
		s.since = now
	}
	s.unanswered++
	s.latest = now
}

// replyReceived notes that a reply came; patience is how long others took so far.
func (s *outageDetector) replyReceived(now time.Time, patience time.Duration) {
	if s.fails(now, patience) {
		s.outage.from, s.outage.to = s.since.Add(-patience), now // those before it lost their replies
	}
	s.lastReply, s.unanswered = now, 0
}

// fails reports whether nobody of many who were asked has answered, for longer than it usually takes; or nobody at all, for longer
// than it ever does. Around a target whose neighbours have all left it may be wrong.
func (s *outageDetector) fails(now time.Time, patience time.Duration) bool {
	lasts := now.Sub(s.since)
	return s.unanswered >= 2*defaultK && lasts > patience || s.unanswered > 0 && lasts > maxPatience
}

// nodeAtFault reports whether it is a node's own fault that it did not answer a query of that time.
func (s *outageDetector) nodeAtFault(sentAt time.Time) bool {
	return s.lastReply.After(sentAt) && (sentAt.Before(s.outage.from) || sentAt.After(s.outage.to))
}

// failedSince reports whether our own network failed at some time after t, or does now.
func (o *outbox) failedSince(t time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.outages.outage.to.After(t) || o.outages.fails(time.Now(), o.rtt.timeout())
}

// lookAgain is how often a search is repeated because our own network failed meanwhile.
const lookAgain = 2

// lookUp runs a search, and it again from its beginning if our own network failed meanwhile and it passed over most of those nodes
// that readers ask: it has ended among those that were asked when the network was back, and what is put there nobody finds. A network
// that does not come back leaves a repeated search without an answer, which is an error; one that seems to fail, since many nodes
// near the target have left, lets the last search stand.
func (n *Node) lookUp(ctx context.Context, prepare func() *search) (*search, error) {
	for left := lookAgain; ; left-- {
		begun, s := time.Now(), prepare()
		err := s.run(ctx)
		if err != nil || left == 0 || s.lookup.passedOver() <= defaultK/2 || !n.outbox.failedSince(begun) {
			if err == nil && s.opts.Enough == 0 { // else it ended before it came near
				n.density.note(s.lookup.target, idsOf(s.neighbours()))
			}
			return s, err
		}
	}
}
