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
	authors int
	end     context.CancelCauseFunc
}

// acquire takes a slot for a relay where so many authors write. When all are
// taken, the relay with the fewest authors must go, if it has fewer; else ok is
// false. leave gives the slot back.
func (p *liveSlots) acquire(key string, authors, most int, end context.CancelCauseFunc) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = map[string]*liveSlot{}
	}
	out := key // an older subscription with the same relay
	if p.held[key] == nil && len(p.held) >= most {
		for k, x := range p.held {
			if out == key || x.authors < p.held[out].authors {
				out = k
			}
		}
		if out == key || p.held[out].authors >= authors {
			return nil, false
		}
	}
	if x := p.held[out]; x != nil {
		delete(p.held, out)
		x.end(errOutranked)
	}
	mine := &liveSlot{authors, end}
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
