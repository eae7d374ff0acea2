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
	response, err := s.Fetch(ctx, n)
	if err != nil && !response.Found {
		response.Why = err.Error()
	}
	return response, nil
}
