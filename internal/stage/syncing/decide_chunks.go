package syncing

import (
	"maps"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// chunks narrows a filter to authors, in filters of at most maxAuthors. No
// authors are no filters, and not one that matches everybody.
func chunks(f nostr.Filter, authors []string) []nostr.Filter {
	if len(f.Authors) > 0 {
		wanted := slices.Sorted(slices.Values(f.Authors))
		authors = slices.DeleteFunc(slices.Clone(authors), func(a string) bool {
			_, ok := slices.BinarySearch(wanted, a)
			return !ok
		})
	}
	slices.Sort(authors)
	var out []nostr.Filter
	for part := range slices.Chunk(authors, maxAuthors) {
		f.Authors = part
		out = append(out, f)
	}
	return out
}

// mentions narrows a filter to what mentions one of the readers (p tags), in
// the same way.
func mentions(f nostr.Filter, readers []string) []nostr.Filter {
	slices.Sort(readers)
	var out []nostr.Filter
	for part := range slices.Chunk(readers, maxAuthors) {
		f.Tags = maps.Clone(f.Tags)
		if f.Tags == nil {
			f.Tags = map[string][]string{}
		}
		f.Tags["p"] = part
		out = append(out, f)
	}
	return out
}
