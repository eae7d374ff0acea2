package syncing

import (
	"context"
	"sync"
)

// liveSlots are the live subscriptions that this process holds, by relay key.
type liveSlots struct {
	mu   sync.Mutex
	held map[string]*liveSlot
}

type liveSlot struct {
	claim
	end  context.CancelCauseFunc
	look chan struct{} // holds an element when links of the relay were made or removed
}

// acquire takes a slot for a relay. The one that has to go for it ends; see
// [admitLive]. leave gives the slot back; look is told of by [liveSlots.look].
func (p *liveSlots) acquire(key string, c claim, most int, end context.CancelCauseFunc) (look <-chan struct{}, leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = map[string]*liveSlot{}
	}
	held := make(map[string]claim, len(p.held))
	for k, x := range p.held {
		held[k] = x.claim
	}
	out, ok := admitLive(held, key, c, most)
	if !ok {
		return nil, nil, false
	}
	if x := p.held[out]; x != nil {
		delete(p.held, out)
		x.end(errOutranked)
	}
	mine := &liveSlot{c, end, make(chan struct{}, 1)}
	p.held[key] = mine
	return mine.look, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.held[key] == mine {
			delete(p.held, key)
		}
	}, true
}

// look has the holders of some slots look whether they follow the right authors.
func (p *liveSlots) look(which func(key string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, x := range p.held {
		if !which(key) {
			continue
		}
		select {
		case x.look <- struct{}{}:
		default:
		}
	}
}

// count is how many slots are taken.
func (p *liveSlots) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.held)
}
