package relay

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// deletionsPerREQ is how many events one REQ asks about: each takes an id, an
// author and perhaps an address.
const deletionsPerREQ = 50

// leastShown is how many events of a filter every relay shows, if it has them.
const leastShown = 20

// Deleted reports whether the relay holds a deletion of the event by its author:
// one that names it (NIP-09), or a request to vanish (NIP-62) from this relay or
// all. Such an event must not be written there again, which
// not every relay sees to by itself. Calls that come while others are
// asked share a REQ.
func (l *Local) Deleted(ctx context.Context, e *nostr.Event) (bool, error) {
	if e.Kind == nostr.KindDeletion || e.Kind == nostr.KindVanish {
		return false, nil
	}
	gone, err := l.undeleted.missing(ctx, []string{keyOfDeleted(e)})
	return len(gone) > 0, err
}

// keyOfDeleted is all of an event that decides whether a deletion is about it.
func keyOfDeleted(e *nostr.Event) string {
	address := ""
	if _, found := nostr.AddressOf(e); found {
		address = nostr.Address{Kind: e.Kind, PubKey: e.PubKey, D: e.Tag("d").At(1)}.String() // as clients write it, also where no d counts
	}
	return strings.Join([]string{e.ID, e.PubKey, strconv.FormatInt(e.CreatedAt, 10), address}, " ")
}

// haveUndeleted asks which of the events, as the keys of Deleted, are not to be gone.
func (l *Local) haveUndeleted(ctx context.Context, keys []string) (map[string]bool, error) {
	keys = slices.SortedFunc(slices.Values(keys), func(a, b string) int { return cmp.Compare(authorOf(a), authorOf(b)) })
	living := map[string]bool{}
	if err := l.undeletedOf(ctx, keys, living); err != nil {
		return nil, err
	}
	return living, nil
}

// undeletedOf is the same of a part of the keys. Relays show so many events of a filter
// and no more, and an author may have written any number of deletions of one event: if
// there are many, those of other authors may be missing, and each half is asked about by
// itself.
func (l *Local) undeletedOf(ctx context.Context, keys []string, living map[string]bool) error {
	gone, count, err := l.deletions(ctx, keys)
	if err != nil {
		return err
	}
	if half := len(keys) / 2; count >= leastShown && half > 0 {
		if err := l.undeletedOf(ctx, keys[:half], living); err != nil {
			return err
		}
		return l.undeletedOf(ctx, keys[half:], living)
	}
	for _, key := range keys {
		living[key] = !gone[key]
	}
	return nil
}

func authorOf(key string) string { return strings.SplitN(key, " ", 3)[1] }

// deletions asks which of the events are to be gone, and counts what the relay shows.
func (l *Local) deletions(ctx context.Context, keys []string) (gone map[string]bool, count int, err error) {
	asked := make([]nostr.Event, len(keys))
	addresses := make([]nostr.Address, len(keys)) // zero for an event that has none
	var authors, ids, named []string
	for i, key := range keys {
		parts := strings.SplitN(key, " ", 4)
		at, err := strconv.ParseInt(parts[2], 10, 64)
		if err != nil {
			return nil, 0, err
		}
		asked[i] = nostr.Event{ID: parts[0], PubKey: parts[1], CreatedAt: at}
		ids, authors = append(ids, parts[0]), append(authors, parts[1])
		if a, err := nostr.ParseAddress(parts[3]); err == nil {
			addresses[i] = a
			named = append(named, parts[3])
			if canonical := a.String(); canonical != parts[3] {
				named = append(named, canonical)
			}
			if nostr.Replaceable(a.Kind) {
				named = append(named, strings.TrimSuffix(a.String(), ":")) // some leave the last colon out
			}
		}
	}
	authors = slices.Compact(authors)
	filters := []nostr.Filter{
		{Kinds: []int{nostr.KindDeletion}, Authors: authors, Tags: map[string][]string{"e": ids}},
		{Kinds: []int{nostr.KindVanish}, Authors: authors},
	}
	if len(named) > 0 {
		filters = append(filters, nostr.Filter{Kinds: []int{nostr.KindDeletion}, Authors: authors, Tags: map[string][]string{"a": named}})
	}
	gone = map[string]bool{}
	err = l.each(ctx, filters, func(deletion *nostr.Event) {
		count++
		for i := range asked {
			if l.deletes(deletion, &asked[i], addresses[i]) {
				gone[keys[i]] = true
			}
		}
	})
	return gone, count, err
}

// deletes reports whether a deletion or a request to vanish is about an event at
// an address, which is zero if it has none.
func (l *Local) deletes(deletion, e *nostr.Event, address nostr.Address) bool {
	if deletion.PubKey != e.PubKey {
		return false
	}
	return slices.ContainsFunc(deletion.Tags, func(t nostr.Tag) bool {
		switch value := t.At(1); {
		case deletion.Kind == nostr.KindVanish:
			url, err := nostr.NormalizeRelayURL(value, true)
			ours := value == "ALL_RELAYS" || err == nil && nostr.HasRelay(l.names, url)
			return t.At(0) == "relay" && ours && e.CreatedAt <= deletion.CreatedAt
		case t.At(0) == "e":
			return value == e.ID
		default:
			named, err := nostr.ParseAddress(value)
			return t.At(0) == "a" && err == nil && named == address && e.CreatedAt <= deletion.CreatedAt
		}
	})
}
