package stage

import (
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// countedRelays and countedBytes bound the relays that count of each list of an author
// who is new: keys are free, and each relay of theirs takes room in KV, a search and
// a sync. NIP-65 asks for two to four relays of a kind, of which any has what the
// author writes.
const (
	countedRelays = 4
	countedBytes  = 256
)

// Counted decides what counts of a list of an author at now (Unix seconds): all of it,
// and of one of a new author ([contract.Author.Known]) the first relays, those that
// are written to before those that are only read from. The first one always counts.
func Counted(author contract.Author, l contract.List, now int64) contract.List {
	if author.Known(now) {
		return l
	}
	var counted []string
	length := 0
	counts := func(url string) bool {
		if nostr.HasRelay(counted, url) {
			return true
		}
		if len(counted) >= countedRelays || len(counted) > 0 && length+len(url) > countedBytes {
			return false
		}
		counted, length = append(counted, url), length+len(url)
		return true
	}
	all := len(l.Write) + len(l.Read)
	l.Write, l.Read = filter(l.Write, counts), filter(l.Read, counts)
	l.Cut = l.Cut || len(l.Write)+len(l.Read) < all
	return l
}

func filter(urls []string, is func(string) bool) (out []string) {
	for _, url := range urls {
		if is(url) {
			out = append(out, url)
		}
	}
	return out
}
