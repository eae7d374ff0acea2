package relay

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// BackoffError says that a relay failed lately and is not dialled before
// Until. It unwraps to the last failure.
type BackoffError struct {
	URL   string
	Until time.Time
	Err   error
}

func (e *BackoffError) Error() string {
	return named{e.URL, fmt.Errorf("%w; it is tried again from %s on", e.Err, e.Until.Format(time.TimeOnly))}.Error()
}

func (e *BackoffError) Unwrap() error { return e.Err }

// failure is what a pool remembers of a relay that could not be dialled.
type failure struct {
	health.State

	err  error
	back time.Time // of a wanted relay: when it answered again
}

// next takes in another failure. A relay's word on when it may be asked again comes
// before our own wait.
func (f *failure) next(use health.Use, err error) {
	f.State, f.err = use.Next(f.State, health.Failed, time.Now(), rand.Float64()), err
	if later := reconcile.LaterOf(err); later != nil {
		f.LeftAloneUntil = later.Until
	}
}

// leftAlone returns a [*BackoffError] while a relay is left alone, within a
// [*reconcile.AwayError] if it is wanted; mu is held.
func (p *Pool) leftAlone(url string) error {
	if r := p.resting[url]; r != nil {
		return p.away(url, &BackoffError{URL: url, Until: r.LeftAloneUntil, Err: r.err})
	}
	if f, _ := p.failures.Get(url); f.LeftAlone(time.Now()) {
		return &BackoffError{URL: url, Until: f.LeftAloneUntil, Err: f.err}
	}
	return nil
}

// failed remembers a failure, and returns what is to be told of it; mu is held.
func (p *Pool) failed(url string, err error) error {
	switch {
	case p.ctx.Err() != nil:
	case p.isWanted(url):
		return p.away(url, err)
	case errors.Is(err, hosts.ErrBusy): // of which the relay knows nothing
	default:
		f, _ := p.failures.Get(url)
		f.next(health.Dial, err)
		p.failures.Put(url, f)
	}
	return err
}
