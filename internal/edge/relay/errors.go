package relay

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// What can go wrong with a relay, for errors.Is. A refusal is a
// [*RefusedError] that may also be one of these.
var (
	// ErrConnClosed: the connection ended; the error says why.
	ErrConnClosed = errors.New("connection closed")
	// ErrTimeout: the relay is connected and does not answer.
	ErrTimeout = errors.New("no answer in time")
	// ErrSlowConsumer: the events of a subscription were not taken in time, so
	// it was closed; the connection lives. Events received before were
	// delivered, later ones must be asked for again.
	ErrSlowConsumer = errors.New("events were not taken in time")
	// ErrMisbehaving: the relay sends what was not asked for, or forgeries.
	ErrMisbehaving = errors.New("relay misbehaves")
	// ErrAuthRequired: the relay wants NIP-42 authentication, and there is no
	// key, or authenticating did not help.
	ErrAuthRequired = errors.New("authentication required")
	// ErrNoNegentropy: the relay does not speak NIP-77, whatever it advertises.
	ErrNoNegentropy = errors.New("relay does not speak negentropy (NIP-77)")
	// ErrTooLarge: the set is larger than the relay reconciles in one session;
	// split it by time.
	ErrTooLarge = errors.New("set too large for one negentropy session")
	// ErrSessionClosed: the relay dropped the negentropy session, for instance
	// because it was idle; open it again.
	ErrSessionClosed = errors.New("negentropy session closed by the relay")
)

// RefusedError is a refusal in the relay's words: OK false, CLOSED, NEG-ERR or
// a NOTICE in place of one.
type RefusedError struct {
	Prefix  string // machine-readable prefix of NIP-01 in lower case, "" if there is none
	Message string // the whole text, shortened
	kind    error
}

func (e *RefusedError) Error() string {
	if e.kind != nil {
		return fmt.Sprintf("refused: %q (%v)", e.Message, e.kind)
	}
	return fmt.Sprintf("refused: %q", e.Message)
}

// Unwrap returns the sentinel that the refusal amounts to, or nil.
func (e *RefusedError) Unwrap() error { return e.kind }

// refusal reads the reason of an OK, CLOSED or NEG-ERR message.
func refusal(text string) *RefusedError {
	e := &RefusedError{Message: clip(text)}
	if p, _, ok := strings.Cut(e.Message, ":"); ok && !strings.ContainsAny(p, " \t") {
		e.Prefix = strings.ToLower(p)
	}
	if e.Prefix == "auth-required" {
		e.kind = ErrAuthRequired
	}
	return e
}

var (
	// Words by which relays say that a set is too large to reconcile; "blocked"
	// alone is no such word, it stands for any policy.
	tooLarge = regexp.MustCompile(`(?i)too (many|large|big)|max_sync`)
	// "too many" also counts sessions, which no splitting of the set can help.
	tooBusy = regexp.MustCompile(`(?i)concurrent|subscription|connections|requests`)
	// Words by which relays that do not speak NIP-77 say so.
	noNegentropy = regexp.MustCompile(`(?i)negentropy|neg-|envelope|unrecogni[sz]ed|invalid|could not parse|failed to parse|unsupported|not supported|disabled|unknown`)
	// How relays end sessions that they have dropped.
	sessionEnded = regexp.MustCompile(`(?i)^(error: )?closed\b|unknown subscription`)
)

// negRefusal reads the reason of a NEG-ERR, or of what a relay sends in its place.
// Some state how many events they reconcile; the window is halved whatever that
// is, as they do not say how many it holds.
func negRefusal(text string) *RefusedError {
	e := refusal(text)
	switch {
	case e.kind != nil || e.Prefix == "restricted":
	case tooLarge.MatchString(e.Message) && !tooBusy.MatchString(e.Message):
		e.kind = ErrTooLarge
	case sessionEnded.MatchString(e.Message):
		e.kind = ErrSessionClosed
	case tooBusy.MatchString(e.Message):
	case noNegentropy.MatchString(e.Message):
		e.kind = ErrNoNegentropy
	}
	return e
}

// clip shortens what a relay says before it reaches a log or an error.
func clip(s string) string {
	const limit = 200
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
