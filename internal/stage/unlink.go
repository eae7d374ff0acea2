package stage

import (
	"context"
	"errors"
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

var errLinked = errors.New("somebody is linked to the relay")

// Linked reports whether anybody writes to a relay, or reads there.
func Linked(ctx context.Context, links Store[contract.Link], relayKey string) (bool, error) {
	for _, pattern := range []string{contract.LinkKey(relayKey, "*"), contract.ReaderKey(relayKey, "*")} {
		err := links.Each(ctx, pattern, func(string, contract.Link) error { return errLinked })
		if errors.Is(err, errLinked) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("couldn't list who is linked to a relay: %w", err)
		}
	}
	return false, nil
}
