package gateway

import (
	"errors"
	"net/netip"
	"sync"
)

// Bounds on what is held of messages, in bytes: of all clients, and of those of
// one address. Beyond them messages pass without being read along the way.
const (
	heldInAll     = 128 << 20
	heldOfAddress = 16 << 20
)

// errBusy ends a connection whose message cannot be read without holding more.
var errBusy = errors.New("too much is held of the messages of this address")

// ledger counts what is held, by address.
type ledger struct {
	all, each int

	mu   sync.Mutex
	sum  int
	held map[netip.Prefix]int
}

// account is the ledger for one address.
type account struct {
	ledger  *ledger
	address netip.Prefix
}

func newLedger(all, each int) *ledger {
	return &ledger{all: all, each: each, held: map[netip.Prefix]int{}}
}

// take counts n more, and reports whether there may be so many; then give must
// follow.
func (a account) take(n int) bool {
	l := a.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sum+n > l.all || l.held[a.address]+n > l.each {
		return false
	}
	l.sum += n
	l.held[a.address] += n
	return true
}

// give counts n fewer.
func (a account) give(n int) {
	if n == 0 {
		return
	}
	l := a.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum -= n
	if l.held[a.address] -= n; l.held[a.address] <= 0 {
		delete(l.held, a.address)
	}
}
