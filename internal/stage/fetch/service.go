package fetch

import (
	"context"
	"fmt"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Answer answers the service relaymesh.note.fetch within the context's
// deadline. That the note was not found, or not in time, is an answer too, and
// says why.
func (s *Stage) Answer(ctx context.Context, r events.MissingNoteRequest) (events.MissingNoteResponse, error) {
	n, err := r.Validate(s.AllowPrivate)
	if err != nil {
		return events.MissingNoteResponse{}, err
	}
	response := s.answer(ctx, n)
	if !response.Found {
		response.Why += s.notAsked(r.Relays)
	}
	if r.Thread && response.Event != nil {
		response.Thread = s.thread(ctx, response)
	}
	return response, nil
}

// notAsked says which of the relays that were named cannot be asked, and why.
func (s *Stage) notAsked(named []string) string {
	var all []string
	for _, raw := range named {
		if _, err := nostr.NormalizeRelayURL(raw, s.AllowPrivate); err != nil {
			all = append(all, err.Error())
		}
	}
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprintf("; %d relays that were named were not asked, such as %s", len(all), all[0])
}

// answer is fetch with the error as the reason why it was not found.
func (s *Stage) answer(ctx context.Context, n events.NoteMissing) events.MissingNoteResponse {
	response, err := s.fetch(ctx, n, true)
	if err != nil {
		response.Why = err.Error()
	}
	return response
}
