package ingest

import (
	"context"
	"fmt"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// counted returns what is kept of a list that an event carried. Those for the DHT are
// kept whole: they are small, and a look-up would bring them back.
func (s *Stage) counted(author contract.Author, f *finding, now int64) contract.List {
	author.Trusted = s.Policy.Ours != nil
	if f.via == contract.ViaDHT {
		return *f.list
	}
	return stage.Counted(author, *f.list, now)
}

// completeLists takes the lists of an author in again that were cut while the author
// was new. One that the local relay does not have any more stays as it is.
func (s *Stage) completeLists(ctx context.Context, pubkey string, author contract.Author) (out []contract.Output, err error) {
	if !author.Known(s.Now().Unix()) {
		return nil, nil
	}
	for _, list := range author.Lists {
		if !list.Cut {
			continue
		}
		e, err := s.Stored(ctx, list.ID)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the list %s of an author: %w", list.ID, err)
		}
		if e == nil || e.Check() != nil || e.PubKey != pubkey || s.Verify("", e) != nil {
			continue
		}
		more, err := s.relist(ctx, e)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// relist takes the list in that an event carries, and nothing else of it.
func (s *Stage) relist(ctx context.Context, e *nostr.Event) ([]contract.Output, error) {
	f, _ := decideEvent(e, s.AllowPrivate) // what it says beside is known
	f.without(s.Denied.Now())
	if f.list == nil {
		return nil, nil
	}
	return s.see(ctx, e.PubKey, &finding{via: f.via, list: f.list}, keyClaim{})
}
