package relay

import (
	"fmt"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// What a relay may cost us beyond what we asked for. Work is counted in bytes, so
// that one bound holds for much at once and for little very often: a frame or
// message counts as frameCost at least, which is what handling it takes (some
// 10 µs for a ping and its pong, 2 µs for an EOSE), copied at the speed of JSON.
const (
	// maxStrayBytes is how much a host may have sent unasked, beyond what is
	// forgiven: notices, events that are too large or for no open subscription,
	// which is normal just after a CLOSE.
	maxStrayBytes = 64 << 20
	frameCost     = 1 << 10
	// forgiven is how much of it is forgotten in a second: 256 frames, which keep
	// a core busy for less than 3 ms.
	forgiven = 256 << 10
	// perRequest is forgotten with each message that we send: some relays answer
	// twice, or confirm a CLOSE.
	perRequest = 4 * frameCost
)

// account is what a host has cost beyond what was asked for, over all
// connections to it, those that have ended included. It is safe for concurrent
// use.
type account struct {
	mu   sync.Mutex
	debt int64 // bytes, at the time of at
	at   time.Time
	why  error // it misbehaved, and has not come down to half of maxStrayBytes; nil otherwise
}

// settle forgets what time has forgiven; mu is held.
func (a *account) settle(now time.Time) {
	past := min(max(now.Sub(a.at), 0), time.Hour) // an hour forgives everything
	a.debt = max(0, a.debt-int64(past.Seconds()*forgiven))
	if a.at = now; a.debt <= maxStrayBytes/2 {
		a.why = nil
	}
}

// charge counts work of that many bytes, and says when it is too much.
func (a *account) charge(bytes int, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settle(now)
	if a.debt += int64(bytes); a.debt <= maxStrayBytes {
		return nil
	}
	a.debt = maxStrayBytes
	a.why = fmt.Errorf("%w: it sent %d MiB that nobody asked for, where a frame counts as %d KiB at least",
		reconcile.ErrMisbehaving, maxStrayBytes>>20, frameCost>>10)
	return a.why
}

// asked forgets what a message of ours may be answered with too much.
func (a *account) asked() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.debt = max(0, a.debt-perRequest)
}

// exhaust bars a host that misbehaved in any way: a new connection begins where
// the last one ended.
func (a *account) exhaust(why error, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.debt, a.at, a.why = maxStrayBytes, now, why
}

// barred returns an error while the host must not be dialled.
func (a *account) barred(relay string, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.settle(now); a.why == nil {
		return nil
	}
	over := float64(a.debt - maxStrayBytes/2)
	return &BackoffError{URL: relay, Until: now.Add(time.Duration(over / forgiven * float64(time.Second))), Err: a.why}
}

// account returns what is counted against the host of a relay, by which dials are
// counted, too: paths, ports and subdomains cost a stranger nothing. Where private
// addresses may be dialled, each name with its port is a host, because many share
// loopback.
func (p *Pool) account(relay string) *account {
	host := p.opts.Budget.Key(relay)
	if p.opts.AllowPrivate {
		host = hosts.Name(relay)
	}
	a, _ := p.accounts.LoadOrStore(host, &account{})
	return a
}
