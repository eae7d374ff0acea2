package index

import (
	"cmp"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Answer is what one index answered to the question for an author's lists: events whose ids, signatures and author were
// verified. With Failed there is none.
type Answer struct {
	URL    string
	Events []nostr.Event
	Failed bool // it did not answer, or what it sent was not to be read
	Lied   bool // it sent forgeries, or what was not asked for
}

// Outcome is how an answer stands beside those of others.
type Outcome int

const (
	// Nothing: nobody had anything, so nothing can be said.
	Nothing Outcome = iota
	Delivered
	Missed
	Failed
	Lied
)

// Judgement is what all answers together come to.
type Judgement struct {
	Lists    map[int]nostr.Event // by kind, the newest valid one that its author has not ended
	Ended    map[int]bool        // kinds of which the author has ended all that was found
	Endings  []nostr.Event       // deletions and requests to vanish that did
	Outcomes []Outcome           // of the answers, in their order
}

// Judge compares answers about an author. Of each kind the newest event wins, of equal times that with the lower id; what
// lies further ahead of the clock than relays accept does not count, and who sent it has lied. now is in Unix seconds.
func Judge(author string, kinds []int, answers []Answer, now int64) Judgement {
	j := Judgement{Lists: map[int]nostr.Event{}, Ended: map[int]bool{}, Outcomes: make([]Outcome, len(answers))}
	newest := map[int]nostr.Event{}
	var endings []nostr.Event
	for i, a := range answers {
		for _, e := range a.Events {
			switch {
			case e.PubKey != author || e.CheckTime(now) != nil:
				j.Outcomes[i] = Lied
			case e.Kind == nostr.KindDeletion || e.Kind == nostr.KindVanish:
				endings = append(endings, e)
			case slices.Contains(kinds, e.Kind) && newer(e, newest[e.Kind]):
				newest[e.Kind] = e
			}
		}
	}
	for kind, e := range newest {
		at := slices.IndexFunc(endings, func(by nostr.Event) bool { return ends(by, e) })
		if at < 0 {
			j.Lists[kind] = e
			continue
		}
		j.Ended[kind] = true
		if !slices.ContainsFunc(j.Endings, func(known nostr.Event) bool { return known.ID == endings[at].ID }) {
			j.Endings = append(j.Endings, endings[at])
		}
	}
	for i, a := range answers {
		j.Outcomes[i] = j.outcome(a, j.Outcomes[i], newest)
	}
	return j
}

// outcome is that of one answer.
func (j *Judgement) outcome(a Answer, so Outcome, newest map[int]nostr.Event) Outcome {
	holds := func(want nostr.Event) bool {
		return slices.ContainsFunc(a.Events, func(e nostr.Event) bool { return e.ID == want.ID })
	}
	switch {
	case so == Lied, a.Lied:
		return Lied
	case a.Failed:
		return Failed
	case len(newest) == 0:
		return Nothing
	}
	for kind, e := range newest {
		// Whoever has the ending does not hold what it ended.
		if _, stands := j.Lists[kind]; stands && !holds(e) || !stands && !slices.ContainsFunc(j.Endings, holds) {
			return Missed
		}
	}
	return Delivered
}

// newer reports whether e takes the place of old, which may be none (NIP-01).
func newer(e, old nostr.Event) bool {
	return old.ID == "" || cmp.Or(cmp.Compare(e.CreatedAt, old.CreatedAt), cmp.Compare(old.ID, e.ID)) > 0
}

// allRelays is the relay tag of a request to vanish that every relay follows (NIP-62).
const allRelays = "ALL_RELAYS"

// ends reports whether an author's deletion (NIP-09) or request to vanish (NIP-62) ends a replaceable event of theirs.
func ends(by, e nostr.Event) bool {
	address := nostr.Address{Kind: e.Kind, PubKey: e.PubKey}.String()
	return slices.ContainsFunc(by.Tags, func(t nostr.Tag) bool {
		switch by.Kind {
		case nostr.KindDeletion:
			return t.At(0) == "e" && t.At(1) == e.ID || t.At(0) == "a" && t.At(1) == address && by.CreatedAt >= e.CreatedAt
		case nostr.KindVanish:
			return t.At(0) == "relay" && t.At(1) == allRelays && by.CreatedAt >= e.CreatedAt
		}
		return false
	})
}
