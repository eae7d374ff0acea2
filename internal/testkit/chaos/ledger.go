package main

import (
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// ledger is what was promised, and what came of it.
type ledger struct {
	mu       sync.Mutex
	events   map[string]*promise // by id: must be at the home relay
	lists    map[string]*listing // by public key: must be on the DHT
	bad      map[string]bool     // ids of events that must become dead letters
	outdated map[string]bool     // ids of lists that are not the newest of their author any more

	accepted int      // events that were sent
	retries  int      // sendings that had to be done again
	refused  []string // why relays refused what they should take
}

// promise is an event that must arrive at the home relay.
type promise struct {
	what    string
	since   time.Time     // when it was accepted
	arrived chan struct{} // closed when it was seen there
	took    time.Duration
}

// listing is the newest accepted list of an author.
type listing struct {
	item    bep44.Item
	event   string
	since   time.Time
	arrived chan struct{}
	seen    int64 // the highest seq that was read from the DHT
	took    []time.Duration
}

func newLedger() *ledger {
	return &ledger{events: map[string]*promise{}, lists: map[string]*listing{}, bad: map[string]bool{}, outdated: map[string]bool{}}
}

// sent counts an event that was accepted after some retries.
func (l *ledger) sent(retries int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted++
	l.retries += retries
}

// count returns how many events were accepted.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

func (l *ledger) refuse(url, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = append(l.refused, url+": "+why)
}

// promise writes down that an event must arrive, from now on.
func (l *ledger) promise(id, what string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &promise{what: what, since: time.Now(), arrived: make(chan struct{})}
	l.events[id] = p
	return p.arrived
}

// list writes down that a list must get to the DHT, from now on.
func (l *ledger) list(author, event string, item bep44.Item) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.lists[author]
	if at == nil {
		at = &listing{}
		l.lists[author] = at
	} else {
		l.outdated[at.event] = true
	}
	at.item, at.event, at.since, at.arrived = item, event, time.Now(), make(chan struct{})
	return at.arrived
}

func (l *ledger) expectDeadLetter(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bad[id] = true
}

// missing returns the ids of the events that have not arrived.
func (l *ledger) missing() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, p := range l.events {
		if p.took == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// arrive writes down that an event is at the home relay.
func (l *ledger) arrive(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.events[id]; p != nil && p.took == 0 {
		p.took = max(time.Since(p.since), 1)
		close(p.arrived)
	}
}

// unread returns the newest items that have not been read from the DHT, by
// author.
func (l *ledger) unread() map[string]bep44.Item {
	l.mu.Lock()
	defer l.mu.Unlock()
	items := map[string]bep44.Item{}
	for author, at := range l.lists {
		if at.seen < at.item.Seq {
			items[author] = at.item
		}
	}
	return items
}

// read writes down that exactly this item of an author was read from the DHT.
func (l *ledger) read(author string, item *bep44.Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.lists[author]; at.item.Equal(item) && at.seen < item.Seq {
		at.seen = item.Seq
		at.took = append(at.took, time.Since(at.since))
		close(at.arrived)
	}
}
