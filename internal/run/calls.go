package run

import (
	"context"
	"errors"
)

// maxCalls is how many calls of a service one process works on, and maxPending how many
// there may be, with those that wait, within their deadlines. Those from other accounts,
// of feeders, have three quarters of either at most, so that stages need not wait for them.
const (
	maxCalls   = 256
	maxPending = 4096
)

// busyCode is the code of a service error that says that there are too many calls.
const busyCode = "503"

var errCalls = errors.New("busy: too many calls")

// queue bounds how many calls are there at a time, and how many of them are worked on.
type queue struct{ pending, slots chan struct{} }

func newQueue(pending, calls int) queue {
	return queue{make(chan struct{}, pending), make(chan struct{}, calls)}
}

// queues are those that a call has to pass, in this order.
type queues []queue

// join counts a call, and reports whether there is room for it.
func (list queues) join() bool {
	for i, q := range list {
		select {
		case q.pending <- struct{}{}:
		default:
			list[:i].leave()
			return false
		}
	}
	return true
}

func (list queues) leave() {
	for _, q := range list {
		<-q.pending
	}
}

// work does something in a slot of each, or says that the context ended before there was one.
func (list queues) work(ctx context.Context, do func()) error {
	for i, q := range list {
		if !acquire(ctx, q.slots) {
			list[:i].release()
			return errCalls
		}
	}
	defer list.release()
	do()
	return nil
}

func acquire(ctx context.Context, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (list queues) release() {
	for _, q := range list {
		<-q.slots
	}
}
