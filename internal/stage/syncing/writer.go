package syncing

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// writing is how many events wait for the local relay's OK at a time; strfry's
// own sync uses as many, and every relay takes it.
const writing = 64

// writer hands events to ingest and writes them to the local relay, many at a
// time. When all places are busy it makes its caller wait, and so the remote
// relay.
type writer struct {
	stage  *Stage
	ctx    context.Context //nolint:containedctx // the writer lives for one sync only
	cancel context.CancelFunc
	group  *errgroup.Group

	mu     sync.Mutex
	result *events.SyncFinished
}

func (s *Stage) writer(ctx context.Context, result *events.SyncFinished) *writer {
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writing)
	return &writer{stage: s, ctx: ctx, cancel: cancel, group: group, result: result}
}

// event writes one event, later; an error means that an earlier one failed.
func (w *writer) event(e events.Event) error {
	if why := stage.MayCopy(&e, w.stage.Now().Unix()); why != "" {
		w.count(&w.result.Refused)
		return nil
	}
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	w.group.Go(func() error {
		// Ingest first: it may carry a list, or refer to what is missing, and
		// once the local relay has it no sync looks at it again.
		if received, ok := stage.Received(e); ok {
			if err := w.stage.Publish(w.ctx, received); err != nil {
				return err
			}
		}
		refused, err := w.stage.Net.Publish(w.ctx, w.stage.Local, e)
		if err != nil {
			return err
		}
		if refused != "" {
			w.stage.Log.Debug("the local relay refused an event", "event", e.ID, "reason", refused)
			w.count(&w.result.Refused)
			return nil
		}
		w.count(&w.result.Stored)
		return nil
	})
	return nil
}

// wait returns when every event was answered, with the first error.
func (w *writer) wait() error { return w.group.Wait() }

// abort ends what is still being written.
func (w *writer) abort() { w.cancel() }

func (w *writer) count(n *int) {
	w.mu.Lock()
	*n++
	w.mu.Unlock()
}
