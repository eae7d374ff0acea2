package hosts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// ErrBusy says that a host has used up its budget for the moment. It says nothing
// about the relay that was wanted.
var ErrBusy = errors.New("the budget of the host is used up for now")

// maxAccounts is how many accounts are held before those that have been idle are
// dropped.
const maxAccounts = 4096

// Budget bounds the connections and dials of one process, by host and network.
// The zero value is ready, nil bounds nothing. It is safe for concurrent use.
type Budget struct {
	mu       sync.Mutex
	accounts map[string]*account
	proven   recent.Map[string, struct{}] // by full name
}

// Prove gives a relay a budget of its own under its full name.
func (b *Budget) Prove(relay string) {
	if b != nil {
		b.proven.Put(Name(relay), struct{}{})
	}
}

// Key returns the host as which a relay is counted: [Name] of a proven one, else
// [Of].
func (b *Budget) Key(relay string) string {
	if b != nil {
		name := Name(relay)
		if _, proven := b.proven.Get(name); proven {
			return name
		}
	}
	return Of(relay)
}

// Lease is the share of a budget that one connection has.
type Lease struct {
	budget *Budget
	key    string // of the host
	alone  bool   // the address counts as a host, too

	mu   sync.Mutex
	host *account
	held map[netip.Addr][]*account // of the addresses that were dialled
	idle func() (since time.Time, idle bool)
	end  func()
}

// GiveWay has the connection ended by end once it has been idle for a second and
// another one waits for the same host, network or address. Both functions are
// called without locks, and end perhaps more than once.
func (l *Lease) GiveWay(idle func() (since time.Time, idle bool), end func()) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle, l.end = idle, end
}

// idleFor is for how long nobody has used the connection, at now.
func (l *Lease) idleFor(now time.Time) (long time.Duration, end func()) {
	l.mu.Lock()
	idle, end := l.idle, l.end
	l.mu.Unlock()
	if idle == nil {
		return 0, nil
	}
	since, is := idle()
	if !is {
		return 0, nil
	}
	return now.Sub(since), end
}

// Dial takes from a host's budget what a connection costs, given "host:port". It
// waits for a moment if need be, and fails with [ErrBusy] or ctx's error.
// Whoever gets a lease releases it when the connection ends or has not come.
func (b *Budget) Dial(ctx context.Context, address string) (*Lease, error) {
	if b == nil {
		return nil, nil //nolint:nilnil // a nil lease holds nothing
	}
	l := &Lease{budget: b, key: b.Key(address), held: map[netip.Addr][]*account{}}
	l.alone = l.key == Of(address) && !hosted(l.key)
	host, err := b.take(ctx, l, l.key, 1)
	if err != nil {
		return nil, err
	}
	l.host = host
	return l, nil
}

// At takes what the connection costs the network of an address that is about to
// be dialled, and the address if it counts as a host.
func (l *Lease) At(ctx context.Context, at netip.Addr) error {
	if l == nil {
		return nil
	}
	network, budgets := Network(at)
	a, err := l.budget.take(ctx, l, network, budgets)
	if err != nil {
		return err
	}
	l.hold(at, a)
	if !l.alone || budgets == shared || at.IsLoopback() || plain(at) == l.key {
		return nil
	}
	if a, err = l.budget.take(ctx, l, plain(at), 1); err == nil {
		l.hold(at, a)
	}
	return err
}

func (l *Lease) hold(at netip.Addr, a *account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[at] = append(l.held[at], a)
}

// Connected gives back what was taken for other addresses than the one that
// answered.
func (l *Lease) Connected(to netip.Addr) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for at, accounts := range l.held {
		if at.Unmap() != to.Unmap() {
			l.budget.free(l, accounts...)
			delete(l.held, at)
		}
	}
}

// Release gives all back. It may be called again.
func (l *Lease) Release() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for at, accounts := range l.held {
		l.budget.free(l, accounts...)
		delete(l.held, at)
	}
	if l.host != nil {
		l.budget.free(l, l.host)
		l.host = nil
	}
}

// Knock is [Budget.Dial] and [Lease.At] of an address whose name is not known.
func (b *Budget) Knock(ctx context.Context, at netip.Addr) (*Lease, error) {
	if b == nil {
		return nil, nil //nolint:nilnil // as of Dial
	}
	l := &Lease{budget: b, alone: true, held: map[netip.Addr][]*account{}}
	if err := l.At(ctx, at); err != nil {
		l.Release()
		return nil, err
	}
	return l, nil
}

// plain is how an address is written, as a host as well.
func plain(at netip.Addr) string { return nostr.UnmapAddr(at).WithZone("").String() }

// account returns the account of a host or network; mu is held.
func (b *Budget) account(key string, budgets int, now time.Time) *account {
	if b.accounts == nil {
		b.accounts = map[string]*account{}
	}
	a := b.accounts[key]
	if a == nil {
		if len(b.accounts) >= maxAccounts {
			maps.DeleteFunc(b.accounts, func(_ string, a *account) bool { return a.idle(now) })
		}
		a = &account{budgets: budgets}
		b.accounts[key] = a
	}
	return a
}

// take waits for a dial and a connection of an account.
func (b *Budget) take(ctx context.Context, by *Lease, key string, budgets int) (*account, error) {
	until := time.Now().Add(maxWait)
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		now := time.Now()
		a := b.account(key, budgets, now)
		wait, free := a.due(now)
		switch left := until.Sub(now); {
		case free && wait == 0:
			a.open = append(a.open, by)
			a.dial(now)
			return a, nil
		case a.waiting >= maxWaiting*budgets || wait > left || left <= 0:
			return nil, fmt.Errorf("%s: %w", key, ErrBusy)
		case !free:
			if b.makeRoom(a, now); len(a.open) < MaxConns*budgets {
				continue
			}
			wait = min(left, leastIdle)
		}
		if err := b.wait(ctx, a, wait); err != nil {
			return nil, err
		}
	}
}

// makeRoom ends the connection of an account that has been idle for the longest,
// if there is one; mu is held before and after, and not meanwhile.
func (b *Budget) makeRoom(a *account, now time.Time) {
	open := slices.Clone(a.open)
	b.mu.Unlock()
	defer b.mu.Lock()
	most, endIt := leastIdle, func() {}
	for _, l := range open {
		if long, end := l.idleFor(now); end != nil && long >= most {
			most, endIt = long, end
		}
	}
	endIt()
}

// wait waits for a time, or for a connection that ends; mu is held before and
// after, and not meanwhile.
func (b *Budget) wait(ctx context.Context, a *account, most time.Duration) error {
	if a.freed == nil {
		a.freed = make(chan struct{})
	}
	freed := a.freed
	a.waiting++
	defer func() { a.waiting-- }()
	b.mu.Unlock()
	defer b.mu.Lock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-freed:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// free gives the connections of a lease back.
func (b *Budget) free(of *Lease, accounts ...*account) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range accounts {
		i := slices.Index(a.open, of)
		a.open = slices.Delete(a.open, i, i+1)
		if a.freed != nil {
			close(a.freed)
			a.freed = nil
		}
	}
}
