// Package slots shares what strangers may have a number of, such as connections,
// between their addresses.
package slots

import (
	"slices"
	"sync"
)

// Shared are slots that strangers share by address. While some are free, first
// come is first served. When all are taken, an
// address with fewer takes one of the address with the most, so that some tens of
// addresses are needed to keep all others out. It is safe for concurrent use.
type Shared struct {
	all, each int

	mu    sync.Mutex
	taken int
	held  map[string][]*slot // by address, the oldest first
}

// slot is one that is taken; evict ends its use, nil where that cannot be.
type slot struct{ evict func() }

// New returns as many slots in all, and of one address at most.
func New(all, each int) *Shared {
	return &Shared{all: all, each: each, held: map[string][]*slot{}}
}

// Take takes a slot; ok is false when there is none for the address. Leave gives
// it back, and may be called again. Evict, which may be nil, is called when the
// slot has been given to another address; leave need not be called then.
func (p *Shared) Take(addr string, evict func()) (leave func(), ok bool) {
	p.mu.Lock()
	mine := len(p.held[addr])
	if mine >= p.each {
		p.mu.Unlock()
		return nil, false
	}
	var loser *slot
	if p.taken >= p.all {
		most := p.most()
		if loser = p.held[most][0]; loser.evict == nil || len(p.held[most]) <= mine+1 {
			p.mu.Unlock()
			return nil, false
		}
		p.remove(most, loser)
	}
	one := &slot{evict}
	p.held[addr] = append(p.held[addr], one)
	p.taken++
	p.mu.Unlock()
	if loser != nil {
		loser.evict()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.remove(addr, one)
	}, true
}

// Taken is how many slots are taken.
func (p *Shared) Taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

// most returns the address with the most slots; mu is held.
func (p *Shared) most() (addr string) {
	for a, held := range p.held {
		if len(held) > len(p.held[addr]) {
			addr = a
		}
	}
	return addr
}

// remove frees a slot, if it is still the address's; mu is held.
func (p *Shared) remove(addr string, one *slot) {
	i := slices.Index(p.held[addr], one)
	if i < 0 {
		return
	}
	p.taken--
	if p.held[addr] = slices.Delete(p.held[addr], i, i+1); len(p.held[addr]) == 0 {
		delete(p.held, addr)
	}
}
