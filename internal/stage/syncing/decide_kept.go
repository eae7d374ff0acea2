package syncing

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
)

const (
	// maxBrought is how many events that a pass has brought are remembered, and
	// fewBrought of how many at least it is said that they are not kept.
	maxBrought = 256
	fewBrought = 8
	// prunedFor is how long it is believed that the local relay does not keep old
	// events.
	prunedFor = 30 * day
)

// stillKept decides at now what the local relay keeps of what the last pass has brought: has
// says of which events it shows them still. If most of what is older than some time is
// gone, only what is later is looked for, so that it is not fetched for ever.
func stillKept(s contract.Survey, has func(contract.Brought) bool, now int64) contract.Survey {
	if s.Since > 0 && now-s.SinceAt >= int64(prunedFor/time.Second) {
		s.Since, s.SinceAt, s.Why = 0, 0, ""
	}
	oldest := slices.SortedFunc(slices.Values(s.Brought), func(a, b contract.Brought) int { return cmp.Compare(a.At, b.At) })
	gone, best, at := 0, 0, 0 // best is by how many the gone are more than the rest, up to at
	for i, e := range oldest {
		if has(e) {
			gone -= 3 // three of four must be gone
		} else {
			gone++
		}
		if gone > best {
			best, at = gone, i+1
		}
	}
	if best >= fewBrought && oldest[at-1].At >= s.Since {
		s.Since, s.SinceAt = oldest[at-1].At+1, now
		s.Why = fmt.Sprintf("the local relay does not keep what is from before %s: %d of %d events that came were gone",
			time.Unix(s.Since, 0).UTC().Format(time.DateOnly), (best+3*at)/4, len(oldest))
	}
	s.Brought = nil
	return s
}
