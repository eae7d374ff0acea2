package fetch

import (
	"slices"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// maxRelays bounds the relays that are asked for one note.
const maxRelays = 24

// candidates lists the relays to ask, most likely first: two hints of whoever
// refers to the note, who has just seen it there; where the author's own lists
// say that they write; the other hints; and the relays that the author is
// linked to otherwise. local is left out: it lacks the note.
func candidates(n events.NoteMissing, author events.Author, linked []string, local string) []string {
	var out []string
	add := func(urls []string) {
		for _, url := range urls {
			if url != local && len(out) < maxRelays && !slices.Contains(out, url) {
				out = append(out, url)
			}
		}
	}
	add(n.Relays[:min(len(n.Relays), 2)])
	for _, via := range []string{events.ViaNIP65, events.ViaDHT, events.ViaNIP78} {
		add(author.Lists[via].Write)
	}
	add(n.Relays)
	slices.Sort(linked)
	add(linked)
	return out
}
