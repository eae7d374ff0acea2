package syncing

import (
	"slices"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// chunks cuts the authors of a relay into filters of at most maxAuthors: some
// relays refuse longer lists.
func chunks(authors []string) []events.Filter {
	slices.Sort(authors)
	var out []events.Filter
	for part := range slices.Chunk(authors, maxAuthors) {
		out = append(out, events.Filter{Authors: part})
	}
	return out
}

const maxAuthors = 500
