package hosts

import "time"

// What one host may cost. Networks have several times as much.
const (
	// MaxURLs is how many relays of one host are kept.
	MaxURLs = 32
	// MaxConns is how many connections to it are open or being made at a time.
	MaxConns = 4
	// dialEvery is how often it is dialled, and dialBurst how many dials may come
	// at once after some quiet.
	dialEvery = time.Second
	dialBurst = 8
	// maxWaiting is how many wait for a dial at a time, and maxWait how long:
	// others are told at once that the budget is used up.
	maxWaiting = 4
	maxWait    = 3 * time.Second
	// leastIdle is how long a connection was idle that gives way to another one.
	leastIdle = time.Second
)

// account is what a host or network has used of its budget.
type account struct {
	budgets int      // how many hosts' budgets it has
	open    []*Lease // as often as it holds one
	waiting int
	paid    time.Time     // when all dials so far would have come, one after the other
	freed   chan struct{} // closed when a connection ends; nil: nobody waits
}

// due returns how long until a dial may begin at now, and whether a connection is
// free for it. It is zero and true for one that may begin.
func (a *account) due(now time.Time) (wait time.Duration, free bool) {
	every := dialEvery / time.Duration(a.budgets)
	ahead := time.Duration(dialBurst*a.budgets-1) * every
	return max(0, a.paid.Sub(now.Add(ahead))), len(a.open) < MaxConns*a.budgets
}

// dial counts a dial that begins at now.
func (a *account) dial(now time.Time) {
	if a.paid.Before(now) {
		a.paid = now
	}
	a.paid = a.paid.Add(dialEvery / time.Duration(a.budgets))
}

// idle reports whether an account is as good as a new one.
func (a *account) idle(now time.Time) bool {
	return len(a.open) == 0 && a.waiting == 0 && !a.paid.After(now)
}
