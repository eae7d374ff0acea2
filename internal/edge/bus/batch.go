package bus

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// batch are the messages of one consumer that are one message of watermill. Without
// a preparer it is of one.
//
// One goroutine at a time has the turn: it handles those that no other has begun.
// When a handler waits, its goroutine stays with it and gives the turn to another.
type batch struct {
	release func(room) // gives slots back to the subscriber
	crew    *crew

	rest    []*delivery // not begun; of whose turn it is
	handled room        // of those whose slots are not given back yet; of whose turn it is
	turn    func()      // takes it

	mu   sync.Mutex
	open []*delivery // without a verdict that was carried out; nil where there is one
	left int         // of open
	done chan struct{}
}

func newBatch(all []*delivery, by *crew, release func(room)) *batch {
	t := &batch{release: release, crew: by, rest: all, open: slices.Clone(all), left: len(all), done: make(chan struct{})}
	for i, d := range all {
		d.batch, d.index = t, i
	}
	return t
}

type batchKey struct{}

// handleBatch is the router's handler of all consumers.
func (b *Bus) handleBatch(in *message.Message) error {
	ctx := in.Context()
	t, _ := ctx.Value(batchKey{}).(*batch)
	b.prepare(ctx, t.rest)
	t.turn = func() { b.takeTurn(ctx, t) }
	t.turn()
	return nil
}

// prepare runs the preparer, if there is one. A message that it cannot stand is told
// from the others by its handler.
func (b *Bus) prepare(ctx context.Context, all []*delivery) {
	w := all[0].work
	if w.prepare == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			b.log.ErrorContext(ctx, "preparing messages panicked, they are handled one by one", "panic", p, "stack", string(debug.Stack()))
			for _, d := range all {
				d.Prepared = nil
			}
		}
	}()
	ms := make([]*contract.Message, len(all))
	for i, d := range all {
		ms[i] = &d.Message
	}
	w.prepare(ms)
}

// takeTurn handles what nobody has begun, until a handler waits. Slots are given
// back together, so that they are pulled for together.
func (b *Bus) takeTurn(ctx context.Context, t *batch) {
	for len(t.rest) > 0 {
		d := t.rest[0]
		t.rest[0], t.rest = nil, t.rest[1:] // nil, since one that waits keeps the batch
		b.handle(ctx, d)
		if t.ended(d) {
			t.release(d.room())
			return
		}
		t.handled = t.handled.plus(d.room())
	}
	t.release(t.handled)
}

// wait is called before a message waits: the others of its batch are not to wait for
// it.
func (d *delivery) wait() {
	t := d.batch
	t.mu.Lock()
	defer t.mu.Unlock()
	if d.alone || d.over || len(t.rest)+t.handled.msgs == 0 {
		return
	}
	d.alone = true
	t.crew.do(t.turn)
}

// ended says that what becomes of a message has been carried out, and returns whether it
// has given the turn away.
func (t *batch) ended(d *delivery) (alone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d.over = true
	t.open[d.index] = nil
	if t.left--; t.left == 0 {
		close(t.done)
	}
	return d.alone
}

// inWork are those whose verdict has not been carried out.
func (t *batch) inWork() []*delivery {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(t.open), func(d *delivery) bool { return d == nil })
}

// crew are goroutines that take turns. They are kept for a while, since what handles
// messages has grown their stacks, which costs more than to handle a message.
type crew struct {
	next chan func() // to one that has nothing to do
	done <-chan struct{}
}

// do has one of the crew run f.
func (w *crew) do(f func()) {
	select {
	case w.next <- f:
	default:
		go w.run(f)
	}
}

func (w *crew) run(f func()) {
	for f != nil {
		f()
		idle := time.NewTimer(time.Second)
		select {
		case f = <-w.next:
		case <-idle.C:
			f = nil
		case <-w.done:
			f = nil
		}
		idle.Stop()
	}
}
