package homerelay

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// resource is what clients take up and the relay counts.
type resource int

const (
	connections resource = iota
	subscriptions
	sessions  // of NIP-77
	records   // of the sets that sessions had read
	heldBytes // as Go holds them: of messages, filters and queues
	resources
)

var resourceNames = [resources]string{"connections", "subscriptions", "sessions", "records", "bytes held"}

// share bounds a resource: over all clients, and of those of one network, one
// party and one connection.
type share struct{ all, network, party, connection int }

// holding is what one connection has taken.
type holding struct {
	party  party
	active atomic.Int64 // when its last message came, in Unix nanoseconds
	end    func(cause error)

	used [resources]int // guarded by ledger.mu, as is gone
	gone bool           // its resources have been given back
}

// account sums up what a network or a party holds.
type account struct {
	used    [resources]int
	parties map[party]*account    // of a network
	open    map[*holding]struct{} // of a party
}

// ledger counts what clients hold. Where all of a resource is in use, somebody
// must give way: the largest holder in the party that holds most, in the network
// that holds most. So whoever holds little gets in and is left alone, however
// many there are that want everything. The pipeline's own connections are not
// counted.
type ledger struct {
	shares [resources]share

	mu       sync.Mutex
	closed   bool
	used     [resources]int
	networks map[netip.Prefix]*account
}

func newLedger(shares [resources]share) *ledger {
	return &ledger{shares: shares, networks: map[netip.Prefix]*account{}}
}

// errShare is the refusal of what would be more than a share. errEvicted ends
// the connection that gave way.
var (
	errShare   = errors.New("too many concurrent")
	errEvicted = errors.New("it held most of what is scarce")
	errClosed  = errors.New("the relay is closing")
)

// enter admits a connection; leave must follow. end is called, from another
// goroutine and without delay, when it must give way.
func (l *ledger) enter(p party, end func(cause error)) (*holding, error) {
	h := &holding{party: p, end: end}
	h.active.Store(time.Now().UnixNano())
	return h, l.take(h, connections, 1)
}

// leave gives everything back that the connection still holds.
func (l *ledger) leave(h *holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear(h)
}

// full reports why a connection of an address and network of its own would
// not be admitted.
func (l *ledger) full() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	nobody := &holding{}
	if l.used[connections] < l.shares[connections].all || l.fullest(nobody, connections, 1) != nil {
		return nil
	}
	return fmt.Errorf("%d connections of as many addresses are open, and no more are admitted", l.used[connections])
}

// close admits nobody any more.
func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// take counts n more of a resource, or says why the connection must not have it.
func (l *ledger) take(h *holding, res resource, n int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	if h.gone {
		return errEvicted
	}
	if most := l.shares[res].connection; h.used[res]+n > most {
		return fmt.Errorf("%w %s on this connection, at most %d", errShare, resourceNames[res], most)
	}
	if h.party.own {
		h.used[res] += n
		return nil
	}
	if err := l.makeRoom(h, res, n); err != nil {
		return err
	}
	l.add(h, res, n)
	return nil
}

// give counts n fewer of a resource.
func (l *ledger) give(h *holding, res resource, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !h.gone {
		l.add(h, res, -n)
	}
}

// add counts for the connection, its party and its network, and drops the
// accounts that hold nothing any more. mu is held.
func (l *ledger) add(h *holding, res resource, n int) {
	h.used[res] += n
	if h.party.own {
		return
	}
	network := h.party.network()
	of := l.networks[network]
	if of == nil {
		of = &account{parties: map[party]*account{}}
		l.networks[network] = of
	}
	p := of.parties[h.party]
	if p == nil {
		p = &account{open: map[*holding]struct{}{}}
		of.parties[h.party] = p
	}
	l.used[res] += n
	of.used[res] += n
	p.used[res] += n
	p.open[h] = struct{}{}
	if h.used == [resources]int{} {
		delete(p.open, h)
	}
	if len(p.open) == 0 {
		delete(of.parties, h.party)
	}
	if len(of.parties) == 0 {
		delete(l.networks, network)
	}
}

// clear gives everything back. mu is held.
func (l *ledger) clear(h *holding) {
	if h.gone {
		return
	}
	for res, n := range h.used {
		l.add(h, resource(res), -n)
	}
	h.gone = true
}

// makeRoom ends others' connections until n more fit into the shares, or says
// why it cannot. mu is held.
func (l *ledger) makeRoom(h *holding, res resource, n int) error {
	most := l.shares[res]
	for {
		network := l.networks[h.party.network()]
		var p *account
		if network != nil {
			p = network.parties[h.party]
		}
		var victim *holding
		switch {
		case p != nil && p.used[res]+n > most.party:
			if res == connections || res == heldBytes {
				victim = p.largest(h, res, n)
			}
			if victim == nil {
				return fmt.Errorf("%w %s from this address, at most %d", errShare, resourceNames[res], most.party)
			}
		case network != nil && network.used[res]+n > most.network:
			if victim = network.fullest(h, res, n).largest(h, res, n); victim == nil {
				return fmt.Errorf("%w %s from this network, at most %d", errShare, resourceNames[res], most.network)
			}
		case l.used[res]+n > most.all:
			if victim = l.fullest(h, res, n).fullest(h, res, n).largest(h, res, n); victim == nil {
				return fmt.Errorf("%w %s in all, at most %d", errShare, resourceNames[res], most.all)
			}
		default:
			return nil
		}
		l.clear(victim)
		go victim.end(fmt.Errorf("too many %s: %w", resourceNames[res], errEvicted))
	}
}

// fullest returns the network that holds most of a resource, were the request
// of h granted.
func (l *ledger) fullest(h *holding, res resource, n int) *account {
	return fullest(l.networks, h.party.network(), res, n)
}

// fullest does the same with the parties of a network; a nil network has none.
func (a *account) fullest(h *holding, res resource, n int) *account {
	if a == nil {
		return nil
	}
	return fullest(a.parties, h.party, res, n)
}

// fullest returns the account that holds most of a resource if own is to hold n
// more, and own's, which may be nil, if none holds more than that one.
func fullest[K comparable](accounts map[K]*account, own K, res resource, n int) *account {
	found, most := accounts[own], n
	if found != nil {
		most += found.used[res]
	}
	for k, a := range accounts {
		if k != own && a.used[res] > most {
			found, most = a, a.used[res]
		}
	}
	return found
}

// largest returns the connection of a party that is to give way to h, or nil if
// that is h itself, or there is none. Of connections it is the one that has
// been silent longest, among its own party only one that has nothing open.
func (a *account) largest(h *holding, res resource, n int) *holding {
	if a == nil {
		return nil
	}
	_, same := a.open[h]
	var found *holding
	for other := range a.open {
		switch {
		case res != connections:
			if found == nil || other.used[res] > found.used[res] {
				found = other
			}
		case other.idle() || other.party != h.party:
			if found == nil || other.before(found) {
				found = other
			}
		}
	}
	if found != nil && res != connections && same && h.used[res]+n >= found.used[res] {
		return nil
	}
	return found
}

// idle reports whether the client has nothing open that it could wait for.
func (h *holding) idle() bool { return h.used[subscriptions]+h.used[sessions]+h.used[heldBytes] == 0 }

// before orders connections by how little is lost with them.
func (h *holding) before(other *holding) bool {
	if h.idle() != other.idle() {
		return h.idle()
	}
	return h.active.Load() < other.active.Load()
}
