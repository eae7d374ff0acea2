package fetch

import "time"

// silence is how long a service has given no answer. Requests tell that were made
// since its last one: those that wait, and those that have ended in vain.
type silence struct {
	waiting map[int]time.Time // since when
	made    int               // requests ever
	longest time.Duration     // that one waited in vain
}

func newSilence() silence { return silence{waiting: map[int]time.Time{}} }

// asked counts a request, and returns its number.
func (q *silence) asked(now time.Time) (request int) {
	q.made++
	q.waiting[q.made] = now
	return q.made
}

// ended is told how a request has ended. An answer says nothing of requests that
// wait on: they may be about something that takes long.
func (q *silence) ended(request int, answered bool, now time.Time) {
	if answered {
		q.longest = 0
		clear(q.waiting)
		return
	}
	if since, counts := q.waiting[request]; counts {
		q.longest = max(q.longest, now.Sub(since))
		delete(q.waiting, request)
	}
}

// lasts returns for how long one has waited, or had waited, at most.
func (q *silence) lasts(now time.Time) time.Duration {
	longest := q.longest
	for _, since := range q.waiting {
		longest = max(longest, now.Sub(since))
	}
	return longest
}
