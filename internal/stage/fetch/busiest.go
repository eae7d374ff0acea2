package fetch

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
)

const (
	// maxBusiest is how many relays are asked for a note of which nobody says who
	// wrote it or where it is.
	maxBusiest = 16
	// busiestFor is how long it is remembered which those are, and fewFor while there
	// are fewer than that.
	busiestFor = 10 * time.Minute
	fewFor     = 10 * time.Second
)

// busiest are the relays where most authors that are known write, by the weight of
// the evidence.
type busiest struct {
	mu   sync.Mutex // held while they are found out
	urls []string
	at   time.Time
}

// get returns them, those with most authors first.
func (b *busiest) get(ctx context.Context, s *Stage) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fresh := fewFor
	if len(b.urls) == maxBusiest {
		fresh = busiestFor
	}
	if s.Now().Sub(b.at) < fresh {
		return b.urls, nil
	}
	authors, now := map[string]float64{}, s.Now().Unix()
	err := s.Links.Each(ctx, contract.LinkKey("*", "*"), func(_ string, l contract.Link) error {
		authors[l.URL] += stage.Weigh(l, now)
		return nil
	})
	if err != nil {
		return b.urls, err
	}
	b.urls, b.at = mostOf(authors), s.Now()
	return b.urls, nil
}

// mostOf returns the names with the highest counts, at most maxBusiest.
func mostOf(counts map[string]float64) []string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	return names[:min(len(names), maxBusiest)]
}
