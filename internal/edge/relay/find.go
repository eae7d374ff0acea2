package relay

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// finder gathers the ids that are wanted from each relay into few REQs.
type finder struct {
	mu   sync.Mutex
	next map[string]*finding // by relay: what its next REQ will ask for
}

// finding is one REQ for ids; finder.mu guards all but ctx.
type finding struct {
	ctx     context.Context //nolint:containedctx // ends when nobody waits any more
	cancel  context.CancelFunc
	want    map[string][]chan foundEvent // by id: who waits for it
	waiting int
}

type foundEvent struct {
	event *nostr.Event
	err   error
}

// Find returns the event with that id, or nil if the relay answers that it has
// none. Many callers share a REQ: the first is sent at once, those who come
// within the next milliseconds are asked for together. An event is returned as
// it comes, whatever the relay does about the others, and a REQ is closed as
// soon as nobody waits for it. Errors are those of [Conn.Query].
func (p *Pool) Find(ctx context.Context, url, id string) (*nostr.Event, error) {
	url, err := nostr.NormalizeRelayURL(url, p.opts.AllowPrivate)
	if err != nil {
		return nil, err
	}
	answer := make(chan foundEvent, 1)
	f := p.want(url, id, answer)
	select {
	case a := <-answer:
		return a.event, a.err
	case <-ctx.Done():
		p.leave(f, id, answer)
		return nil, ctx.Err()
	}
}

func (p *Pool) leave(f *finding, id string, answer chan foundEvent) {
	p.finder.mu.Lock()
	defer p.finder.mu.Unlock()
	i := slices.Index(f.want[id], answer)
	if i < 0 {
		return // answered just now
	}
	f.want[id] = slices.Delete(f.want[id], i, i+1)
	if f.waiting--; f.waiting == 0 {
		f.cancel()
	}
}

// want puts an id into the relay's next REQ, or sends one for it alone if
// there was none lately.
func (p *Pool) want(url, id string, answer chan foundEvent) *finding {
	p.finder.mu.Lock()
	defer p.finder.mu.Unlock()
	f, gathering := p.finder.next[url]
	if f == nil || f.waiting == 0 { // else whoever comes shares the end of those who left
		f = p.newFinding()
	}
	f.want[id] = append(f.want[id], answer)
	f.waiting++
	switch {
	case !gathering:
		p.finder.next[url] = nil
		time.AfterFunc(gather, func() { p.sendGathered(url) })
		p.spawn(url, f)
	case len(f.want) >= idsPerREQ:
		p.finder.next[url] = nil
		p.spawn(url, f)
	default:
		p.finder.next[url] = f
	}
	return f
}

func (p *Pool) newFinding() *finding {
	f := &finding{want: map[string][]chan foundEvent{}}
	f.ctx, f.cancel = context.WithCancel(p.ctx)
	return f
}

// sendGathered sends what has come for a relay; when nothing has, the next id
// will not wait.
func (p *Pool) sendGathered(url string) {
	p.finder.mu.Lock()
	defer p.finder.mu.Unlock()
	f := p.finder.next[url]
	if f == nil {
		delete(p.finder.next, url)
		return
	}
	p.finder.next[url] = nil
	time.AfterFunc(gather, func() { p.sendGathered(url) })
	p.spawn(url, f)
}

// spawn runs a finding unless the pool is closed or everyone has left;
// finder.mu is held.
func (p *Pool) spawn(url string, f *finding) {
	if f.waiting == 0 {
		f.end(nil)
		return
	}
	ids := slices.Sorted(maps.Keys(f.want))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		f.end(fmt.Errorf("relay %s: the pool is closed", url))
		return
	}
	p.running.Go(func() { p.find(url, f, ids) })
}

// find asks for the ids of a finding and tells those who wait.
func (p *Pool) find(url string, f *finding, ids []string) {
	found := func(e *nostr.Event) (more bool) {
		p.finder.mu.Lock()
		defer p.finder.mu.Unlock()
		for _, answer := range f.want[e.ID] {
			answer <- foundEvent{event: e}
			f.waiting--
		}
		delete(f.want, e.ID)
		return f.waiting > 0
	}
	err := p.eachID(f.ctx, url, ids, false, found)
	if err == nil && p.opts.Auth != nil {
		p.findPrivate(f, url, found)
	}
	p.finder.mu.Lock()
	defer p.finder.mu.Unlock()
	f.end(err)
}

// findPrivate asks once more, and once a connection, for what has not been found: of
// kinds that relays keep for their parties. To ids alone many say nothing of those,
// and ask who we are only if nothing else could match. From then on they know.
func (p *Pool) findPrivate(f *finding, url string, found func(*nostr.Event) bool) {
	p.finder.mu.Lock()
	rest := slices.Sorted(maps.Keys(f.want))
	p.finder.mu.Unlock()
	if len(rest) == 0 {
		return
	}
	r := request{filters: []nostr.Filter{{IDs: rest, Kinds: []int{kindDirectMessage, nostr.KindGiftWrap}, Limit: len(rest)}}}
	err := p.over(f.ctx, url, func(c *Conn) (begun bool, err error) {
		if c.identity().succeeded > 0 || !c.askedPrivate.CompareAndSwap(false, true) {
			return false, nil
		}
		return true, c.request(f.ctx, r, func(u reconcile.Update) bool { return found(&u.Event) })
	})
	if err != nil { // the relay has said that it has none for us, which stands
		p.opts.Log.Debug("couldn't ask for private events", "relay", url, "err", err)
	}
}

// kindDirectMessage is that of NIP-04.
const kindDirectMessage = 4

// end tells those who still wait that there is no more; finder.mu is held.
func (f *finding) end(err error) {
	for _, waiting := range f.want {
		for _, answer := range waiting {
			answer <- foundEvent{err: err}
		}
	}
	f.want = nil
	f.cancel()
}

// eachID asks for events by id until do has had enough. Some relays cap an
// answer at a round number whatever the filter says: after such an answer, the
// rest is asked again, until an answer holds nothing new.
func (p *Pool) eachID(ctx context.Context, url string, ids []string, trusted bool, do func(*nostr.Event) (more bool)) error {
	rest := slices.Clone(ids)
	for len(rest) > 0 {
		have, more := map[string]bool{}, true
		r := request{filters: []nostr.Filter{{IDs: rest, Limit: len(rest)}}, trusted: trusted}
		err := p.request(ctx, url, r, func(u reconcile.Update) bool {
			have[u.Event.ID] = true
			more = do(&u.Event)
			return more
		})
		if err != nil || !more || len(have) == 0 || len(have)%10 != 0 {
			return err
		}
		rest = slices.DeleteFunc(rest, func(id string) bool { return have[id] })
	}
	return nil
}
