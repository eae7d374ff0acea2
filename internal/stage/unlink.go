package stage

import (
	"context"
	"fmt"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// Unlink removes all links of a relay that is not kept. Who writes there says so
// again with their next list.
func Unlink(ctx context.Context, links Store[contract.Link], relayKey string) error {
	for _, pattern := range []string{contract.LinkKey(relayKey, "*"), contract.ReaderKey(relayKey, "*")} {
		err := links.Each(ctx, pattern, func(key string, _ contract.Link) error {
			_, err := links.Remove(ctx, key, func(contract.Link) bool { return true })
			return err
		})
		if err != nil {
			return fmt.Errorf("couldn't unlink a relay: %w", err)
		}
	}
	return nil
}
