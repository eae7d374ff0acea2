package reconcile

import (
	"context"
	"errors"
	"fmt"
)

// Classified is a relay whose errors have the meaning that they have in this
// package, whatever the transport.
func Classified(r Relay) Relay {
	return Through(func(ctx context.Context, q *Request, ask Ask) error {
		err := ask(ctx, r)
		if q.Op == OpOpen {
			return openError(err)
		}
		return err
	})
}

// openError says what it means that a session could not be opened. Some relays
// refuse in words that nobody knows, or do not answer at all; if one refuses more
// than sessions, listing it will tell.
func openError(err error) error {
	for _, known := range []error{ErrTooLarge, ErrTooMany, ErrInterrupted, ErrNoNegentropy} {
		if errors.Is(err, known) {
			return err
		}
	}
	if RefusalOf(err) != nil || errors.Is(err, ErrTimeout) {
		return fmt.Errorf("%w: %w", ErrNoNegentropy, err)
	}
	return err
}
