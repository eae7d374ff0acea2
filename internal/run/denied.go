package run

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/deny"
)

// OpenDeny reads the deny lists of --deny, which [config.DenyFiles.Watch] follows.
func OpenDeny(paths []string, log *slog.Logger) (*config.DenyFiles, error) {
	files, err := config.OpenDeny(paths, log)
	if err != nil {
		return nil, fmt.Errorf("--deny: %w", err)
	}
	return files, nil
}

// purgeAgain is after how long a purge is repeated: what was under way when the
// list changed has ended by then, or the store answers again.
const purgeAgain = time.Minute

// PurgeDenied removes what is denied from a store, at once and whenever the lists
// change, each time once more after [purgeAgain], until ctx ends.
func PurgeDenied(ctx context.Context, denied *deny.Lists, log *slog.Logger, purge func(ctx context.Context) error) {
	for clean := 0; ctx.Err() == nil; {
		changed := denied.Changed()
		clean++
		if err := purge(ctx); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "couldn't remove all that is denied, trying again", "err", err)
			clean = 0
		}
		var again <-chan time.Time
		if clean < 2 {
			again = time.After(purgeAgain)
		}
		select {
		case <-changed:
			clean = 0
		case <-again:
		case <-ctx.Done():
		}
	}
}
