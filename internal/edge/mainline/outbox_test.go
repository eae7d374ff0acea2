package mainline

import (
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// ignore is an asker that nobody answers.
type ignore struct{}

func (ignore) answered(int, *reply, time.Time) {}

func TestSilenceOfANodeThatAnsweredIsASuspectedBanOnlyWhileOthersAnswer(t *testing.T) {
	t.Parallel()
	start := time.Now()
	newOutbox := func() *outbox {
		return &outbox{
			guard: &guard{allowPrivate: true}, limiter: newRateLimiter(-1), routing: newRoutingTable(false),
			calls: map[uint64]call{}, budget: rate.NewLimiter(rate.Inf, 0),
		}
	}
	silent := func(o *outbox, c Contact, times int, heard bool) int {
		now := start
		for range times {
			o.mu.Lock()
			o.post(getQuery(c.ID, nil), c, 0, ignore{}, now)
			if heard {
				o.outages.lastReply = now.Add(time.Millisecond)
			}
			o.mu.Unlock()
			now = now.Add(giveUp + time.Millisecond)
			o.sweep(now)
		}
		return o.limiter.suspectedBans(now)
	}
	good := contact(1, "1.1.1.1:2000")
	for what, c := range map[string]struct{ silences, want int }{"a lost packet": {1, 0}, "two": {2, 0}, "a ban": {3, 1}} {
		o := newOutbox()
		o.routing.add(good, start)
		if got := silent(o, good, c.silences, true); got != c.want {
			t.Errorf("%s: %d bans suspected, want %d", what, got, c.want)
		}
		if o.routing.size() != 0 {
			t.Errorf("%s: a silent node is still a seed", what)
		}
		if o.limiter.alive(good.Addr); o.limiter.suspectedBans(start) != 0 {
			t.Errorf("%s: still suspected after an answer", what)
		}
	}
	if got := silent(newOutbox(), good, 5, true); got != 0 {
		t.Errorf("a node that never answered: %d bans suspected", got)
	}
	o := newOutbox()
	o.routing.add(good, start)
	if got := silent(o, good, 5, false); got != 0 || o.routing.size() != 1 || o.limiter.isDead(good.Addr, start) {
		t.Errorf("nobody answers, perhaps the own network is down: %d bans suspected, %d nodes known", got, o.routing.size())
	}
	if len(o.calls) != 0 || len(o.overdue) != 0 {
		t.Errorf("%d queries and %d deadlines are left", len(o.calls), len(o.overdue))
	}
}

// Everybody was silent for longer than anybody takes to answer: no node is
// held to be dead for a query of that time, nor for the one just before it.
func TestAnOutageOfOurOwnNetworkIsNoNodesFault(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for what, c := range map[string]struct {
		silence time.Duration
		dead    bool
	}{"a node is silent": {maxPatience / 2, true}, "all are": {maxPatience + time.Millisecond, false}} {
		o := &outbox{
			guard: &guard{allowPrivate: true}, limiter: newRateLimiter(-1), routing: newRoutingTable(false),
			calls: map[uint64]call{}, budget: rate.NewLimiter(rate.Inf, 0),
		}
		before, during := contact(1, "1.1.1.1:2000"), contact(2, "1.1.1.2:2000")
		o.mu.Lock()
		o.post(getQuery(before.ID, nil), before, 0, ignore{}, start)
		o.outages.replyReceived(start.Add(time.Millisecond), o.rtt.timeout()) // somebody else's reply
		o.post(getQuery(during.ID, nil), during, 0, ignore{}, start.Add(2*time.Millisecond))
		o.outages.replyReceived(start.Add(2*time.Millisecond+c.silence), o.rtt.timeout())
		o.mu.Unlock()
		end := start.Add(giveUp + 3*time.Millisecond)
		o.sweep(end)
		for _, node := range []Contact{before, during} {
			if dead := o.limiter.isDead(node.Addr, end); dead != c.dead {
				t.Errorf("%s: %v is dead: %v, want %v", what, node.Addr, dead, c.dead)
			}
		}
	}
}

// A process that stood still has replies in its socket: these are read before a node is called silent, but only once, so that a
// machine that is always late does not wait for ever.
func TestAProcessThatStoodStillReadsRepliesFirst(t *testing.T) {
	t.Parallel()
	o := &outbox{
		guard: &guard{allowPrivate: true}, limiter: newRateLimiter(-1), routing: newRoutingTable(false),
		calls: map[uint64]call{}, budget: rate.NewLimiter(rate.Inf, 0), clock: time.NewTimer(time.Hour),
	}
	node := contact(1, "1.1.1.1:2000")
	o.mu.Lock()
	o.post(getQuery(node.ID, nil), node, 0, ignore{}, time.Now().Add(-2*giveUp))
	o.due = time.Now().Add(-time.Hour)
	o.queued = queue{} // nothing is to be sent
	o.mu.Unlock()
	for _, left := range []int{1, 0} {
		o.passTime()
		if len(o.calls) != left {
			t.Errorf("%d queries are waited for, want %d", len(o.calls), left)
		}
		o.due = time.Now().Add(-time.Hour)
	}
}
