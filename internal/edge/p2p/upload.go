package p2p

import (
	"context"
	"fmt"
	"sync"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// uploads gathers the events that are written at the same time: while some are
// on their way, others wait, and go together.
type uploads struct {
	mu      sync.Mutex
	waiting []*upload
	sending int
}

// upload is an event on its way.
type upload struct {
	event nostr.Event
	done  chan struct{} // closed when kept and err are set
	kept  bool
	err   error
}

// Publish writes an event and returns when the peer has worked on it. The
// protocol has no refusals: all that can be learnt is that the peer does not have
// the event afterwards ([reconcile.NotKept]), and only of the last event of each
// upload is that asked. Compare again for proof.
func (p *Peer) Publish(ctx context.Context, e nostr.Event) (reply reconcile.Reply, err error) {
	up := &upload{event: e, done: make(chan struct{})}
	u := &p.uploads
	u.mu.Lock()
	u.waiting = append(u.waiting, up)
	if u.sending < maxTransfers {
		u.sending++
		p.host.running.Go(p.upload)
	}
	u.mu.Unlock()
	select {
	case <-up.done:
	case <-ctx.Done():
		return reply, context.Cause(ctx)
	}
	switch {
	case up.err != nil:
		return reply, up.err
	case up.kept:
		return reconcile.Reply{Outcome: reconcile.Stored}, nil
	}
	return reconcile.Refuse(reconcile.Reason{Code: reconcile.NotKept}), nil
}

// upload sends what waits until nothing does.
func (p *Peer) upload() {
	for {
		batch := p.uploads.next()
		if batch == nil {
			return
		}
		// The upload belongs to several callers, so no single one's context
		// ends it.
		limit := p.host.opts.timing.upload
		ctx, cancel := context.WithTimeoutCause(p.host.ctx, limit,
			fmt.Errorf("%w: the upload takes longer than %s", reconcile.ErrInterrupted, limit))
		err := p.transfer(ctx, func(s *stream) error { return s.upload(batch) })
		cancel()
		for _, up := range batch {
			up.err = err
			close(up.done)
		}
	}
}

// next takes what goes together off what waits.
func (u *uploads) next() (batch []*upload) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n, size := 0, 0
	for n < len(u.waiting) && n < uploadEvents && size < uploadBytes {
		size += len(u.waiting[n].event.Content)
		n++
	}
	batch, u.waiting = u.waiting[:n:n], u.waiting[n:]
	if n == 0 {
		u.sending--
		return nil
	}
	return batch
}

// upload sends events, and waits for the answer to a question behind them.
func (s *stream) upload(batch []*upload) error {
	err := s.out.list(kindHave, func(add func(any) error) error {
		for _, up := range batch {
			up.kept = true
			if err := add(up.event); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	last := batch[len(batch)-1]
	last.kept = false
	return s.fetch([]string{last.event.ID}, func(nostr.Event) error {
		last.kept = true
		return nil
	})
}
