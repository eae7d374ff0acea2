package p2p

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// What can go wrong with a peer.
var (
	// ErrMisbehaving: the peer breaks the protocol or a bound.
	ErrMisbehaving = errors.New("peer misbehaves")
	// ErrInterrupted: the peer could not be reached, or the stream ended;
	// trying again may help.
	ErrInterrupted = errors.New("interrupted")
	// ErrTooLarge: the peer reconciles no set as large as this one; split it by
	// time.
	ErrTooLarge = errors.New("set too large for one session")
	// ErrNoListing: events can be asked for by their ids only.
	ErrNoListing = errors.New("this protocol cannot list events, only compare them and fetch them by id")
)

// RefusedError is a NEG-ERR: what the peer says, shortened.
type RefusedError struct{ Message string }

func (e *RefusedError) Error() string { return fmt.Sprintf("refused: %q", e.Message) }

var tooLarge = regexp.MustCompile(`(?i)too (many|large|big)`)

// Unwrap returns ErrTooLarge if that is what the peer means.
func (e *RefusedError) Unwrap() error {
	if tooLarge.MatchString(e.Message) && !strings.Contains(e.Message, busy) {
		return ErrTooLarge
	}
	return nil
}

// busy is what a peer is told that has too many sessions with us.
const busy = "too many sessions"

// interrupted marks what a new stream may put right.
func interrupted(err error) error {
	refused := (*RefusedError)(nil)
	if err == nil || errors.Is(err, ErrMisbehaving) || errors.Is(err, ErrInterrupted) || errors.As(err, &refused) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrInterrupted, err)
}

// clip shortens what a peer says before it reaches a log or an error.
func clip(s string) string {
	const limit = 200
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
