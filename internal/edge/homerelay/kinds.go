package homerelay

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

var errUnwanted = errors.New("blocked: this relay keeps events of other kinds")

// rule says whether a relay keeps an event, by what it holds.
type rule func(*bbolt.Tx, *record) bool

// keeps reports whether a relay of certain kinds takes an event: one of those kinds, or a deletion or a request to vanish that
// may end one. A deletion by id alone counts if the event is here.
func (s *store) keeps(tx *bbolt.Tx, r *record) bool {
	switch {
	case s.kinds == nil, slices.Contains(s.kinds, r.event.Kind):
		return true
	case r.event.Kind == nostr.KindVanish:
		return s.asksToVanish(r.event)
	case r.event.Kind != nostr.KindDeletion:
		return false
	}
	return slices.ContainsFunc(r.event.Tags, func(t nostr.Tag) bool {
		switch t.At(0) {
		case "k":
			kind, err := strconv.Atoi(t.At(1))
			return err == nil && slices.Contains(s.kinds, kind)
		case "a":
			a, err := nostr.ParseAddress(t.At(1))
			return err == nil && a.PubKey == r.event.PubKey && slices.Contains(s.kinds, a.Kind)
		case "e":
			id, err := hex.DecodeString(t.At(1))
			return err == nil && tx.Bucket(byID).Get(id) != nil
		}
		return false
	})
}

// maxPairs is how many pairs of kind and author [store.lacking] looks at.
const maxPairs = 10_000

// lacking returns those addresses of lists which filters ask for and the store does not hold, up to limit. What an author has
// ended counts as held.
func (s *store) lacking(filters []nostr.Filter, limit int) (list []nostr.Address, err error) {
	pairs := 0
	err = s.view(func(tx *bbolt.Tx) error {
		for _, f := range filters {
			if f.IDs != nil || f.Tags != nil || f.Void() {
				continue
			}
			for _, kind := range f.Kinds {
				for _, author := range f.Authors {
					a := nostr.Address{Kind: kind, PubKey: author}
					if pairs++; len(list) == limit || pairs > maxPairs {
						return nil
					}
					if nostr.Replaceable(kind) && slices.Contains(s.kinds, kind) && !slices.Contains(list, a) && !s.knows(tx, a) {
						list = append(list, a)
					}
				}
			}
		}
		return nil
	})
	return list, err
}

// knows reports whether there is an event at an address, or its author has ended what was.
func (s *store) knows(tx *bbolt.Tx, a nostr.Address) bool {
	pubkey, err := hex.DecodeString(a.PubKey)
	if err != nil || len(pubkey) != 32 {
		return true // nobody has one
	}
	addr := addressKey(a.Kind, pubkey, "")
	return tx.Bucket(latest).Get(addr) != nil || tx.Bucket(deleted).Get(deletedAddress(addr)) != nil || tx.Bucket(vanished).Get(pubkey) != nil
}
