package fetch

import (
	"slices"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// maxRelays bounds the relays that are asked for one note, and maxCandidates
	// those of them that are known without looking further.
	maxRelays     = 32
	maxCandidates = 24
	// maxMentioned bounds the users at whose relays a note is looked for
	// because the note that refers to it mentions them, and maxTheirs the
	// relays of each.
	maxMentioned = 8
	maxTheirs    = 3
)

// firstHints are those to ask before anything is looked up: whoever refers to
// the note has just seen it there.
func firstHints(n events.NoteMissing) []string { return n.Relays[:min(len(n.Relays), 2)] }

// candidates lists the relays to ask at now (Unix seconds), most likely first: the
// first hints; where the author's events have come from lately, or their own lists
// say that they write; the other hints; and the relays that the author is linked to
// otherwise. local is left out: it lacks the note.
func candidates(n events.NoteMissing, author contract.Author, linked []contract.Link, local string, now int64) []string {
	var out []string
	add := func(urls []string) {
		for _, url := range urls {
			if !nostr.SameRelay(url, local) && len(out) < maxCandidates && !nostr.HasRelay(out, url) {
				out = append(out, url)
			}
		}
	}
	strong, weak := stage.Ranked(author.WriteRelays(), linked, now)
	add(firstHints(n))
	add(strong)
	add(n.Relays)
	add(weak)
	return out
}

// mentioned returns the users of the note that refers to a missing one: its
// author first, whose relays keep what they refer to, then those it mentions.
func mentioned(by *nostr.Event) []string {
	users := []string{by.PubKey}
	for _, t := range by.Tags {
		if len(users) < maxMentioned && t[0] == "p" && nostr.IsHex(t.At(1), 32) && !slices.Contains(users, t.At(1)) {
			users = append(users, t.At(1))
		}
	}
	return users
}

// inboxes returns where notes that mention a user are sent (NIP-65): the
// relays that they read, and if none are known, those that they write to.
func inboxes(user contract.Author) []string {
	urls := user.Lists[contract.ViaNIP65].Read
	if len(urls) == 0 {
		urls = user.WriteRelays()
	}
	return urls[:min(len(urls), maxTheirs)]
}
