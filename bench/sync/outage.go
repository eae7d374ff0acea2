package main

import (
	"fmt"
	"time"
)

// away is how long a relay does not answer in the middle of a sync.
const away = 4 * time.Second

// outage has the second relay be away in the middle of a sync, once half of the bytes of
// a whole one have passed.
func (b *bench) outage(whole cost) error {
	var cut cost
	for range b.runs {
		c, err := b.ours(b.common, "both", false, func(p *proxy) { p.cutAfter(whole.bytes/2, away) })
		if err != nil {
			return fmt.Errorf("a sync with an outage: %w", err)
		}
		cut.best(c)
	}
	fmt.Printf("relaymesh sync, the link to one relay cut in the middle for %s: %s\n", away, cut.wall.Round(time.Millisecond))
	b.goal(fmt.Sprintf("s of a sync with an outage of %s, beyond the uncut wall time and the outage", away),
		(cut.wall - whole.wall - away).Seconds(), 2)
	return nil
}
