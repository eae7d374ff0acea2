package mainline

import (
	"context"
	"time"
)

// fanout is one query to each of several nodes.
type fanout struct {
	handle  func(slot int, r *reply) // is called with the outbox's lock held
	missing int
	done    chan struct{} // closed when all have answered
}

func (r *fanout) answered(slot int, reply *reply, _ time.Time) {
	if r.missing == 0 {
		return
	}
	r.handle(slot, reply)
	if r.missing--; r.missing == 0 {
		close(r.done)
	}
}

// queryEach sends one query to each node and hands the replies to take. It returns when all have answered or had the time to;
// handle is not called any more then.
func (s *search) queryEach(ctx context.Context, to []*candidate, q func(*candidate) query, take func(slot int, r *reply)) error {
	if len(to) == 0 {
		return nil
	}
	outbox := s.node.outbox
	r := &fanout{handle: take, missing: len(to), done: make(chan struct{})}
	defer func() {
		outbox.mu.Lock()
		r.missing = 0
		outbox.mu.Unlock()
	}()
	for i, c := range to {
		if err := outbox.admit(ctx, c.Addr); err != nil {
			return err
		}
		outbox.mu.Lock()
		outbox.post(q(c), c.Contact, i, r, time.Now())
		outbox.mu.Unlock()
	}
	outbox.flush()
	// These nodes have just answered, so one that stays silent for twice the usual time has lost the packet.
	timeout := time.NewTimer(2 * outbox.patience())
	defer timeout.Stop()
	select {
	case <-r.done:
	case <-timeout.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.node.closing:
		return errClosed
	}
	return nil
}
