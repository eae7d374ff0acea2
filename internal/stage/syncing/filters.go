package syncing

import (
	"context"
	"fmt"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// filters returns what is synced with a relay, and how many authors that is
// about; none if nobody writes there.
func (s *Stage) filters(ctx context.Context, url string) (list []events.Filter, authors int, err error) {
	key := events.RelayKey(url)
	var writers []string
	err = s.Links.Each(ctx, events.LinkKey(key, "*"), func(link string, _ events.Link) error {
		writers = append(writers, link[len(key)+1:])
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("couldn't list who writes to %s: %w", url, err)
	}
	return chunks(writers), len(writers), nil
}
