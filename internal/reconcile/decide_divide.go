package reconcile

import (
	"slices"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// MaxNamed is how many authors, or ids, one filter of a sync should name: some
// relays refuse more.
const MaxNamed = 500

// Divide divides a filter into filters that name no more than [MaxNamed]
// authors and ids. Whatever matches the filter matches one of them; there are
// none if nothing does.
func Divide(f nostr.Filter) (parts []nostr.Filter) {
	if f.Void() {
		return nil
	}
	ids := divided(f.IDs)
	for _, authors := range divided(f.Authors) {
		for _, some := range ids {
			f.Authors, f.IDs = authors, some
			parts = append(parts, f)
		}
	}
	return parts
}

func divided(names []string) [][]string {
	if len(names) <= MaxNamed {
		return [][]string{names}
	}
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Collect(slices.Chunk(slices.Compact(names), MaxNamed))
}
