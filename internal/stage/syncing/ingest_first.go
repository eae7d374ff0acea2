package syncing

import (
	"context"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
)

// ingestFirst is the local relay behind its gate. What is written, ingest is
// given before: it may carry a list, or refer to what is missing, and once the
// local relay has it no sync looks at it again.
func (s *Stage) ingestFirst(local reconcile.Relay) reconcile.Relay {
	return stage.Gate(reconcile.Through(func(ctx context.Context, q *reconcile.Request, ask reconcile.Ask) error {
		if q.Op == reconcile.OpPublish {
			if received, ok := stage.Received(*q.Event); ok {
				if err := s.Publish(ctx, received); err != nil {
					return err
				}
			}
		}
		return ask(ctx, local)
	}), s.Deleted, s.Denied, s.Now)
}
