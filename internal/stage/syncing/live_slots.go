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
	end context.CancelCauseFunc
}

// acquire takes a slot for a relay. The one that has to go for it ends; see
// [admitLive]. leave gives the slot back.
func (p *liveSlots) acquire(key string, c claim, most int, end context.CancelCauseFunc) (leave func(), ok bool) {
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
		return nil, false
	}
	if x := p.held[out]; x != nil {
		delete(p.held, out)
		x.end(errOutranked)
	}
	mine := &liveSlot{c, end}
	p.held[key] = mine
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.held[key] == mine {
			delete(p.held, key)
		}
	}, true
}

// count is how many slots are taken.
func (p *liveSlots) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.held)
}
