package homerelay

import (
	"context"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What a change costs is told in pages of the file that it dirties: each is read,
// held twice, written and waited for. At worst every index entry has one of its own.
const (
	maxDirty   = 1024                       // pages of all changes that share a transaction
	stepPages  = 256                        // of one change; what takes more is done in several, see settle
	briefPages = 64                         // likewise while others wait, for whom it is the disk that takes long
	eventPages = 6                          // of an event without tags
	pageBits   = 12                         // of the size of a page
	smallTags  = 16                         // of an event that is removed at once, whatever the step has done before
	perTag     = 1 + eventPages + smallTags // of a tag of a deletion, of which each may name an event
)

// step is a change of bounded size, in a transaction that it may share.
type step struct {
	tx    *bbolt.Tx
	pages int            // that it may dirty yet
	left  [][idSize]byte // events that are to be settled, since it could not do all
	whole *whole         // see store
}

// step makes a change when it is the party's turn, and returns when it is on disk; do
// may be called twice. What it could not do of some events is left to settle. Few
// steps share a transaction, so that there is room beside them for what is little.
func (s *store) step(ctx context.Context, p party, do func(*step) error) (left [][idSize]byte, err error) {
	const width = maxDirty / 2
	if !s.turns.enter(ctx, p, width, stepPages) {
		return nil, ctx.Err()
	}
	defer s.turns.leave(width)
	return s.updateStep(s.briefly(p, stepPages), do)
}

// briefly is how many pages a party's change may dirty at once that would dirty so many.
func (s *store) briefly(p party, pages int) int {
	if s.turns.othersWait(p) {
		return min(pages, briefPages)
	}
	return pages
}

// updateStep is step for who has come through the gate.
func (s *store) updateStep(pages int, do func(*step) error) (left [][idSize]byte, err error) {
	var st step
	err = s.update(func(tx *bbolt.Tx) error {
		st = step{tx: tx, pages: pages, whole: s.whole}
		return do(&st)
	})
	s.generation.Add(1)
	return st.left, err
}

// insertPages is how many pages the first step of storing an event may dirty.
func insertPages(e *nostr.Event) int {
	tags, size := len(e.Tags), len(e.Content)
	for _, t := range e.Tags {
		for _, text := range t {
			size += len(text)
		}
	}
	switch {
	case e.Kind == nostr.KindDeletion:
		tags *= perTag
	case nostr.Replaceable(e.Kind) || nostr.Addressable(e.Kind): // the version before goes
		tags = 2*tags + eventPages
	}
	return eventPages + size>>pageBits + min(tags, stepPages)
}
