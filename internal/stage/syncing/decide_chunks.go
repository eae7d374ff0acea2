package syncing

import (
	"maps"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// leastAuthors is how few authors a filter may name that is still worth asking.
const leastAuthors = 4

// fewerAuthors decides how many authors a filter is to name after a relay has refused so
// many, 0 for as many as there may be. ok is false if so few are refused that it
// is not about them.
func fewerAuthors(refused int) (n int, ok bool) {
	if refused <= 0 {
		refused = maxAuthors
	}
	n = refused / 5
	return n, n >= leastAuthors
}

// chunks narrows a filter to authors, in filters of at most so many, which is maxAuthors
// at most, and if it is 0. No authors are no filters, and not one that matches everybody.
func chunks(f nostr.Filter, authors []string, most int) []nostr.Filter {
	var out []nostr.Filter
	if most <= 0 || most > maxAuthors {
		most = maxAuthors
	}
	for part := range slices.Chunk(common(authors, f.Authors), most) {
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
