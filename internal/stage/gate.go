package stage

import (
	"context"
	"time"

	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Gate is the local relay with the one gate that every write to it passes,
// whichever stage writes and whoever named the event: nothing enters that the
// operator denies, that must not be copied ([reconcile.MayCopy]), or that its
// author wants to be gone. Such an event is refused by our rules, before local is
// asked.
//
// deleted reports whether the local relay holds its author's word that an event
// is to be gone (NIP-09, NIP-62); while it fails, nothing is written.
func Gate(
	local reconcile.Relay, deleted func(ctx context.Context, e *nostr.Event) (bool, error), denied *deny.Lists, now func() time.Time,
) reconcile.Relay {
	return reconcile.Through(func(ctx context.Context, q *reconcile.Request, ask reconcile.Ask) error {
		if q.Op != reconcile.OpPublish {
			return ask(ctx, local)
		}
		rule := reconcile.MayCopy(q.Event, now().Unix())
		if denied.Event(q.Event) {
			rule = reconcile.Denied
		}
		if rule == "" {
			gone, err := deleted(ctx, q.Event)
			switch {
			case err != nil:
				return err
			case gone:
				rule = reconcile.DeletedByAuthor
			}
		}
		if rule != "" {
			q.Reply = reconcile.Refuse(reconcile.Reason{Cause: reconcile.ByRules, Code: rule})
			return nil
		}
		return ask(ctx, local)
	})
}
