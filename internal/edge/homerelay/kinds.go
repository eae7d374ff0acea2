package homerelay

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

var (
	errUnwanted = errors.New("blocked: this relay keeps events of other kinds")
	errLarge    = errors.New("invalid: this relay keeps no events of more than 32 KiB")
	errTags     = errors.New("unsupported: filters by tags name authors or ids here: lists are found by their author, and not by their tags")
	errFull     = errors.New("blocked: this relay is full; it keeps the authors that it has")
	errBrought  = errors.New("blocked: most of the new authors here have come from you; others are to have room, too")
	errEndings  = errors.New("blocked: this relay keeps the newest deletions and requests to vanish of an author, and these are newer")
)

// maxKept is the size of the largest event of a relay of certain kinds, in bytes of JSON: lists are small, and authors who are
// there already must not fill it.
const maxKept = 32 << 10

// rule returns the refusal of an event that a relay does not keep, by what it holds, and makes room for one that it does. The
// error is of the store.
type rule func(st *step, r *record, text []byte) (refusal, err error)

// keepsAny is the rule of no kinds and no bounds.
func keepsAny(*step, *record, []byte) (refusal, err error) { return nil, nil }

// keepsOf is the rule of a relay for what strangers bring. A tenth of the room is for what its own process has verified.
func (s *store) keepsOf(by bringer) rule {
	return func(st *step, r *record, text []byte) (refusal, err error) {
		return s.keepsUpTo(st, by, r, text, s.maxBytes-s.maxBytes/10)
	}
}

// keepsFrom is the rule for what a party writes.
func (s *store) keepsFrom(p party) rule {
	if p.own {
		return s.keepsOf(bringer{})
	}
	return s.keepsOf(bringerNamed(p.network().String()))
}

func (s *store) keepsOwn(st *step, r *record, text []byte) (refusal, err error) {
	return s.keepsUpTo(st, bringer{}, r, text, s.maxBytes)
}

func (s *store) keepsUpTo(st *step, by bringer, r *record, text []byte, most int64) (refusal, err error) {
	cost := uint64(len(text) + eventCost)
	switch {
	case s.kinds == nil:
		return nil, nil
	case !s.ofKinds(st.tx, r):
		return errUnwanted, nil
	case len(text) > maxKept:
		return errLarge, nil
	}
	if undeletable(r.event.Kind) {
		if refusal, err = st.trimEndings(r); refusal != nil || err != nil {
			return refusal, err
		}
	}
	if s.maxBytes == 0 {
		return nil, nil
	}
	if s.grows(st, r, text) {
		if by != (bringer{}) && !st.isKnown(r.pubkey[:]) && st.shareOf(by)+cost > uint64(s.maxBytes/2) {
			return errBrought, nil
		}
		if s.used(st.tx) >= most {
			// Pages are used in part, so more is to go than comes.
			if made, err := st.makeRoom(by, 2*cost, s.today()); !made || err != nil {
				return errFull, err
			}
		}
	}
	return nil, st.bring(by, r.pubkey[:], s.today())
}

// today is the day since 1970.
func (s *store) today() uint32 { return uint32(s.now().Unix() / secondsADay) }

// tagless reports whether a filter may match events whose tags are in no index: of the kinds of a relay of certain kinds. Each tag of
// a list would take as much room as a short list.
func (s *store) tagless(f nostr.Filter) bool {
	return s.kinds != nil && (f.Kinds == nil || slices.ContainsFunc(f.Kinds, func(kind int) bool { return slices.Contains(s.kinds, kind) }))
}

// unsupported refuses filters for which all of the store would have to be read.
func (s *store) unsupported(filters []nostr.Filter) error {
	for _, f := range filters {
		if len(f.Tags) > 0 && f.IDs == nil && f.Authors == nil && s.tagless(f) {
			return errTags
		}
	}
	return nil
}

// used is how many bytes of the store's file are in use; the file itself never shrinks.
func (s *store) used(tx *bbolt.Tx) int64 {
	stats := s.db.Stats()
	return tx.Size() - int64(stats.FreePageN+stats.PendingPageN)*int64(s.db.Info().PageSize)
}

// grows reports whether an event needs room that none gives way for: it is of another author or kind than what is there, or
// larger. What ends something that is there does not.
func (s *store) grows(st *step, r *record, text []byte) bool {
	tx := st.tx
	if addr := r.address(); addr != nil {
		old := tx.Bucket(latest).Get(addr)
		return old == nil || len(st.form(r, text)) > len(tx.Bucket(byID).Get(position(old).id()))
	}
	prefix := authorPrefix(r.pubkey[:])
	k, _ := tx.Bucket(byAuthor).Cursor().Seek(prefix)
	return !bytes.HasPrefix(k, prefix)
}

// ofKinds reports whether an event is of the relay's kinds, or a deletion or a request to vanish that may end one of them. A
// deletion by id alone counts if the event is here.
func (s *store) ofKinds(tx *bbolt.Tx, r *record) bool {
	switch {
	case slices.Contains(s.kinds, r.event.Kind):
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
