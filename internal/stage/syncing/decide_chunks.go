package syncing

import (
	"maps"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// chunks narrows a filter to authors, in filters of at most maxAuthors. No
// authors are no filters, and not one that matches everybody.
func chunks(f nostr.Filter, authors []string) []nostr.Filter {
	var out []nostr.Filter
	for part := range slices.Chunk(common(authors, f.Authors), maxAuthors) {
		f.Authors = part
		out = append(out, f)
	}
	return out
}

// mentions narrows a filter to what mentions one of the readers (p tags), in
// the same way.
func mentions(f nostr.Filter, readers []string) []nostr.Filter {
	var out []nostr.Filter
	for part := range slices.Chunk(common(readers, f.Tags["p"]), maxAuthors) {
		f.Tags = maps.Clone(f.Tags)
		if f.Tags == nil {
			f.Tags = map[string][]string{}
		}
		f.Tags["p"] = part
		out = append(out, f)
	}
	return out
}

// common returns those of the keys that a list of a filter has, sorted; nil
// has all.
func common(keys, wanted []string) []string {
	keys = slices.Sorted(slices.Values(keys))
	if wanted == nil {
		return keys
	}
	wanted = slices.Sorted(slices.Values(wanted))
	return slices.DeleteFunc(keys, func(k string) bool {
		_, ok := slices.BinarySearch(wanted, k)
		return !ok
	})
}
