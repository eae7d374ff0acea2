package reconcile

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// What goes wrong with a relay, whatever the transport. Edges return these, and
// [Classified] adds what depends on the request.
var (
	// ErrNoNegentropy: the relay does not speak NIP-77, whatever it claims, or
	// not about this filter. It is listed by paged REQs instead.
	ErrNoNegentropy = errors.New("relay does not speak negentropy (NIP-77)")
	// ErrTooLarge: the relay reconciles no set as large as this one. The window
	// of time is cut in two.
	ErrTooLarge = errors.New("set too large for one negentropy session")
	// ErrTooMany: the relay takes no filter that names as many authors as this one.
	// Smaller ones may be asked.
	ErrTooMany = errors.New("filter names more than the relay takes")
	// ErrInterrupted: a session or the connection ended, or there was none;
	// trying again, on a new one, may help.
	ErrInterrupted = errors.New("interrupted")
	// ErrTimeout: the relay is connected and does not answer.
	ErrTimeout = errors.New("no answer in time")
	// ErrRefused: the relay does not serve us, for instance because we are not
	// its member (restricted, auth-required): trying again soon is of no use.
	ErrRefused = errors.New("relay does not serve us")
	// ErrMisbehaving: the relay breaks the protocol or a bound, sends what was
	// not asked for, or forgeries. Trying again soon is of no use.
	ErrMisbehaving = errors.New("relay misbehaves")
)

// ErrUnproved ends a sync: the relays still differ after as many passes as are
// made.
var ErrUnproved = errors.New("relays still differ")

// RefusedError is a relay's refusal of a request: CLOSED, NEG-ERR, or a NOTICE in
// place of one.
type RefusedError struct {
	Reason Reason
	Means  error // the error of this package that the words amount to, or nil
}

func (e *RefusedError) Error() string {
	why := fmt.Sprintf("refused: %q", e.Reason)
	if e.Reason.Text == "" && e.Reason.Code == "" {
		why = e.Reason.String() // words of ours
	}
	if e.Means != nil {
		why = fmt.Sprintf("%s (%v)", why, e.Means)
	}
	return why
}

// Unwrap returns what the refusal amounts to.
func (e *RefusedError) Unwrap() error { return e.Means }

// RefusalOf returns the relay's refusal that an error is about, or nil.
func RefusalOf(err error) *RefusedError {
	refused := (*RefusedError)(nil)
	_ = errors.As(err, &refused)
	return refused
}

// WantsAuth reports whether an error is a refusal until we say who we are
// (NIP-42).
func WantsAuth(err error) bool {
	refused := RefusalOf(err)
	return refused != nil && refused.Reason.Code == PrefixAuthRequired
}

// ForTheMoment reports whether an error is a refusal that passes, by the words
// for which a write is tried again. A relay that refuses a session is listed
// instead, unless it only wants us to be slower.
func ForTheMoment(err error) bool {
	refused := RefusalOf(err)
	switch {
	case refused == nil || refused.Means != nil:
		return false
	case errors.Is(err, ErrNoNegentropy):
		return refused.Reason.Code == PrefixRateLimited
	}
	return refused.Reason.Passes()
}

// LaterError is a relay's word on when it may be asked again, such as the
// Retry-After of HTTP.
type LaterError struct {
	Until time.Time
	Err   error // in which answer it said so
}

func (e *LaterError) Error() string {
	return fmt.Sprintf("%v; it asks to be left alone until %s", e.Err, e.Until.Format(time.TimeOnly))
}

// Unwrap returns Err.
func (e *LaterError) Unwrap() error { return e.Err }

// LaterOf returns the relay's word on when it may be asked again, or nil.
func LaterOf(err error) *LaterError {
	later := (*LaterError)(nil)
	_ = errors.As(err, &later)
	return later
}

// AwayError says that a relay that is wanted cannot be reached, and is dialled again
// and again until it answers.
type AwayError struct {
	Since time.Time
	Back  <-chan struct{} // closed when it answers, or is not wanted any more
	Err   error           // of the last attempt
}

func (e *AwayError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *AwayError) Unwrap() error { return e.Err }

// MaxAway is how long after it went a relay is waited for.
const MaxAway = 2 * time.Minute

// Wait waits until the relay is back, or ctx ends, or it is away for [MaxAway], and
// reports whether it is worth asking again at once.
func (e *AwayError) Wait(ctx context.Context) bool {
	left := time.Until(e.Since.Add(MaxAway))
	if left <= 0 {
		return false
	}
	late := time.NewTimer(left)
	defer late.Stop()
	select {
	case <-e.Back:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	return false
}

// AwayOf returns the error that says that a relay is away, or nil.
func AwayOf(err error) *AwayError {
	away := (*AwayError)(nil)
	_ = errors.As(err, &away)
	return away
}

// NewRefusal is a refusal for a reason. What is for members, or for those who say
// who they are, means [ErrRefused].
func NewRefusal(why Reason) *RefusedError {
	e := &RefusedError{Reason: why}
	if why.Code == PrefixAuthRequired || why.Code == PrefixRestricted {
		e.Means = ErrRefused
	}
	return e
}

var (
	// Words by which relays say that a set is too large to reconcile; "blocked"
	// alone is no such word, it stands for any policy.
	tooLarge = regexp.MustCompile(`(?i)too (many|large|big)|max_sync`)
	// The same of the names in a filter, or of one filter as a whole; of how many filters
	// there are it is not.
	tooMany = regexp.MustCompile(`(?i)\b(too (many|large|big|long)|max|limit|exceed\w*|more than|at most|up to)\b` +
		`.*\b(authors?|pubkeys?|filter)\b|` +
		`\b(authors?|pubkeys?|filter)\b.*\b(too (many|large|big|long)|max|limit|exceed\w*|more than|at most|up to)\b`)
	// "too many" also counts sessions, which no splitting of the set can help.
	tooBusy = regexp.MustCompile(`(?i)concurrent|subscription|connections|requests|many sessions`)
	// Words by which relays that do not speak NIP-77 say so.
	noNegentropy = regexp.MustCompile(`(?i)negentropy|neg-|envelope|unrecogni[sz]ed|invalid|could not parse|failed to parse|` +
		`unsupported|not supported|disabled|unknown`)
	// How relays end sessions that they have dropped.
	sessionEnded = regexp.MustCompile(`(?i)^(error: )?closed\b|unknown subscription`)
)

// NewQueryRefusal reads the words by which a relay refuses a REQ.
func NewQueryRefusal(words string) *RefusedError {
	e := NewRefusal(ParseReason(words))
	if e.Means == nil && e.Reason.Code != PrefixRateLimited && tooMany.MatchString(e.Reason.Text) && !e.Busy() {
		e.Means = ErrTooMany
	}
	return e
}

// NewSessionRefusal reads the words of a NEG-ERR, or of what a relay sends in its
// place. A relay quirk of wording goes into the expressions above. Some relays
// state how many events they reconcile; the window is halved whatever that is, as
// they do not say how many it holds.
func NewSessionRefusal(words string) *RefusedError {
	e := NewQueryRefusal(words)
	switch {
	case e.Means != nil, e.Reason.Code == PrefixRateLimited:
	case tooLarge.MatchString(e.Reason.Text) && !e.Busy():
		e.Means = ErrTooLarge
	case sessionEnded.MatchString(e.Reason.Text):
		e.Means = fmt.Errorf("%w: the session was dropped", ErrInterrupted)
	case e.Busy():
	case noNegentropy.MatchString(e.Reason.Text):
		e.Means = ErrNoNegentropy
	}
	return e
}

// Busy reports whether a refusal is about how much goes on already.
func (e *RefusedError) Busy() bool { return tooBusy.MatchString(e.Reason.Text) }

// Named is the text of an error behind the name of a relay, which is said once,
// whatever the error wraps.
func Named(name string, err error) string {
	return name + ": " + strings.ReplaceAll(err.Error(), "relay "+name+": ", "")
}

// Interrupted makes an error [ErrInterrupted], without saying so in its text.
func Interrupted(err error) error { return &interruption{err} }

type interruption struct{ error }

func (e *interruption) Unwrap() []error { return []error{ErrInterrupted, e.error} }

// sideError says which side an error is about.
type sideError struct {
	side int
	name string
	err  error
}

func (e *sideError) Error() string { return Named(e.name, e.err) }
func (e *sideError) Unwrap() error { return e.err }

// FaultOf returns the side that an error of [Sync] is about; ok is false for an
// error that is about neither.
func FaultOf(err error) (side negentropy.Side, ok bool) {
	at := (*sideError)(nil)
	if !errors.As(err, &at) {
		return 0, false
	}
	return negentropy.Side(at.side), true
}
