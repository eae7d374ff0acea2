package homerelay

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// choices draws what a fuzzer's bytes say, one a choice, and chance goes on where
// they end.
type choices struct {
	data []byte
	rest *rand.PCG
}

func (c *choices) Uint64() uint64 {
	if len(c.data) == 0 {
		return c.rest.Uint64()
	}
	b := c.data[0]
	c.data = c.data[1:]
	return uint64(b) * 0x0101010101010101
}

// FuzzFilters opens subscriptions with filters of few values and hands them events
// of the same: the index finds what looking at each filter finds, and nothing is
// left of subscriptions that were closed.
func FuzzFilters(f *testing.F) {
	f.Add([]byte{})
	for i := range byte(8) {
		f.Add(slices.Repeat([]byte{i * 37, 255 - i*11, i}, 40))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := rand.New(&choices{data, rand.NewPCG(uint64(len(data)), 1)})
		m := newMatcher()
		var open []*subscription
		for i := range 1 + r.IntN(8) {
			sub := &subscription{id: strconv.Itoa(i), filters: make([]nostr.Filter, 1+r.IntN(4))}
			for j := range sub.filters {
				sub.filters[j] = tangledFilter(r)
			}
			m.add(sub)
			open = append(open, sub)
		}
		for range 4 {
			e := tangledEvent(r)
			found := m.match(e)
			for _, sub := range open {
				wanted := slices.ContainsFunc(sub.filters, func(f nostr.Filter) bool { return f.Match(e) })
				if wanted != slices.Contains(found, sub) {
					t.Errorf("%+v, %+v: found %v", e, sub.filters, !wanted)
				}
			}
			if len(open) > 1 {
				m.remove(open[0])
				open = open[1:]
			}
		}
		for _, sub := range open {
			m.remove(sub)
		}
		if len(m.one)+len(m.many)+len(m.every) != 0 {
			t.Errorf("%d, %d and %d filters are left", len(m.one), len(m.many), len(m.every))
		}
	})
}
