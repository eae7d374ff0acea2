package fetch

import (
	"context"

	"github.com/relaymesh/relaymesh/pkg/events"
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
	if r.Thread && response.Event != nil {
		response.Thread = s.thread(ctx, response)
	}
	return response, nil
}

// answer is fetch with the error as the reason why it was not found.
func (s *Stage) answer(ctx context.Context, n events.NoteMissing) events.MissingNoteResponse {
	response, err := s.fetch(ctx, n, true)
	if err != nil {
		response.Why = err.Error()
	}
	return response
}
