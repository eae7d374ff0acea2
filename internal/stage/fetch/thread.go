package fetch

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// threading is how many notes of one thread are looked for at a time.
const threading = 8

// thread fetches what a note refers to, and what that refers to: its ancestors
// up to the root and what they quote, nearest first.
func (s *Stage) thread(ctx context.Context, of events.MissingNoteResponse) (list []events.MissingNoteResponse) {
	seen := map[string]bool{of.EventID: true, events.NoteMissing{Address: of.Address}.Key(): true, of.Event.ID: true}
	carried := 0
	level := s.referredTo(of, seen)
	for depth := 0; depth < s.ThreadDepth && len(level) > 0; depth++ {
		level = level[:min(len(level), s.ThreadCount-len(list))]
		answers := make([]events.MissingNoteResponse, len(level))
		var group errgroup.Group
		group.SetLimit(threading)
		for i, n := range level {
			group.Go(func() error {
				answers[i] = s.answer(ctx, n)
				return nil
			})
		}
		_ = group.Wait() // they return no errors
		level = nil
		for _, a := range answers {
			if a.Event != nil {
				level = append(level, s.referredTo(a, seen)...)
			}
			a, carried = fit(a, carried)
			list = append(list, a)
		}
	}
	return list
}

// referredTo returns what an event refers to and was not seen yet. Where it
// was found is where the others may be, too.
func (s *Stage) referredTo(by events.MissingNoteResponse, seen map[string]bool) (refs []events.NoteMissing) {
	for _, n := range stage.References(by.Event, s.AllowPrivate) {
		if seen[n.Key()] {
			continue
		}
		seen[n.Key()] = true
		if !nostr.SameRelay(by.RelayURL, s.Local) {
			n.Relays = append(n.Relays, by.RelayURL)
		}
		refs = append(refs, n)
	}
	return refs
}
