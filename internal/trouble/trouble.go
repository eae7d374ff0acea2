// Package trouble tells in the log of conditions that last: at WARN when one
// begins, every quarter of an hour while it lasts, and when it ends.
package trouble

import (
	"context"
	"log/slog"
	"time"
)

// Every is how often what lasts is told of again.
const Every = 15 * time.Minute

// Trouble is one condition. The zero value, with its fields set, has not begun. It
// belongs to one goroutine.
type Trouble struct {
	Log *slog.Logger
	// Begins is told with what is wrong when it begins and while it lasts, Ends
	// when it is over.
	Begins, Ends string

	since, told time.Time // zero: it does not last
}

// Note says how things stand; err is what is wrong, and nil that nothing is. It is
// to be called again and again, at least as often as [Every]; args belong to each
// line that is logged.
func (t *Trouble) Note(ctx context.Context, err error, args ...any) {
	now := time.Now()
	if err == nil {
		if !t.since.IsZero() {
			args = append(args, "wait", now.Sub(t.since).Round(time.Second))
			t.Log.WarnContext(ctx, t.Ends, args...) //nolint:sloglint // a constant of the caller
		}
		t.since, t.told = time.Time{}, time.Time{}
		return
	}
	if t.since.IsZero() {
		t.since = now
	} else if now.Sub(t.told) < Every {
		return
	}
	args = append(args, "err", err)
	if lasts := now.Sub(t.since).Round(time.Second); lasts > 0 {
		args = append(args, "wait", lasts)
	}
	t.told = now
	t.Log.WarnContext(ctx, t.Begins, args...) //nolint:sloglint // as above
}

// Lasts reports whether it has begun and not ended.
func (t *Trouble) Lasts() bool { return !t.since.IsZero() }
