package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relaymesh/relaymesh/internal/backoff"
	"github.com/relaymesh/relaymesh/internal/pager"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// maxUnread bounds the events of a window that a side delivers and that cannot be
	// read, of which it is kept why.
	maxUnread = 10_000
	// maxRetries is how often in a row the same is tried again after an
	// interruption: for 13 seconds.
	maxRetries = 7
	// firstRetries is the same for a side that has never answered.
	firstRetries = 2
	// maxLater is how long a relay is waited for that says when it may be asked.
	maxLater = 2 * time.Minute
	// attempts is how often what a relay refuses for the moment is asked of it.
	attempts = 5
	// A relay that keeps us waiting longer than this for its answers is
	// dropped: patience once, for it may have to read a large set first, and
	// pace for every message.
	patience = 5 * time.Minute
	pace     = 2 * time.Second
)

var (
	betweenRetries  = backoff.Backoff{First: 100 * time.Millisecond, Most: 10 * time.Second}
	betweenAttempts = backoff.Backoff{First: time.Second, Most: 10 * time.Second}
)

// session is one side of a sync, with its session while there is one.
type session struct {
	Side
	at  negentropy.Side
	neg Session
	// opened is how many sessions were opened in this pass: each shows what the side
	// holds by then.
	opened int

	alive   atomic.Bool // it has answered before, so an interruption may pass
	written atomic.Bool // it was written to since it was listed last

	takes Limits // what it says of itself

	doubt  Doubt // but for what owed says
	owed   owed
	hiding atomic.Bool // it has delivered what its session did not list

	skipping, asking atomic.Int64 // how many events were asked for, see looked

	listed bool  // compared by listing it, not by sessions
	no77   error // why, if it refused sessions
	list   negentropy.Store
	local  *negentropy.Reconciler // answers for it
	lists  int                    // how often it was listed
	size   int                    // of the events that were read for the last list, about
	hides  bool                   // the last list may lack events that it has
	strict bool                   // its pages leave out the seconds of since and until

	source   bool              // events are read from it, or it is only compared
	unreadMu sync.Mutex        // guards unread
	unread   map[string]string // by id: why what it delivers of the window cannot be read; up to maxUnread

	waited  time.Duration // for answers in sessions
	answers int
}

// fail says which side an error is about.
func (l *session) fail(err error) error {
	if err == nil || errors.As(err, new(*sideError)) {
		return err
	}
	return &sideError{int(l.at), l.Name, err}
}

// again tries something until it ends neither with ErrInterrupted nor with a
// refusal for the moment, a few times at most. A relay that has answered before and
// is away is waited for, however many wait.
func (l *session) again(ctx context.Context, try func() error) error {
	for interrupted, refused := 0, 0; ; {
		err := try()
		var wait time.Duration
		switch {
		case errors.Is(err, ErrInterrupted):
			if away := AwayOf(err); away != nil && l.alive.Load() && away.Wait(ctx) {
				continue // with all others that wait for it
			}
			if interrupted == maxRetries || interrupted == firstRetries && !l.alive.Load() {
				return l.fail(err)
			}
			interrupted++
			wait = betweenRetries.Wait(interrupted, rand.Float64())
			if later := LaterOf(err); later != nil {
				asked := time.Until(later.Until)
				if asked > maxLater {
					return l.fail(err)
				}
				wait += max(asked, 0)
			}
		case ForTheMoment(err):
			if refused++; refused == attempts {
				return l.fail(err)
			}
			wait = betweenAttempts.Wait(refused, rand.Float64())
		default:
			l.alive.Store(true)
			return l.fail(err)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// each passes the events of one REQ to do, until that wants no more. After an
// interruption, or a refusal for the moment, it is tried again, unless something
// had come before it: then it was cut, and what did not come is left to another
// REQ, as it is after a page that overflows.
func (l *session) each(ctx context.Context, filter nostr.Filter, do func(*nostr.Event) (more bool, err error)) (cut bool, err error) {
	came := false
	err = l.again(ctx, func() error {
		ctx, cancel := l.inTime(ctx)
		defer cancel()
		for e, err := range l.Query(ctx, filter) {
			switch {
			case errors.Is(err, pager.ErrOverflow):
				return nil
			case errors.Is(err, ErrInterrupted) && came:
				cut = true
				return nil
			case ForTheMoment(err) && came:
				cut = true
				return sleep(ctx, betweenAttempts.Wait(1, rand.Float64()))
			case err != nil:
				return timely(ctx, err)
			}
			came = true
			if more, err := do(&e); !more || err != nil {
				return err
			}
		}
		return nil
	})
	return cut, err
}

// inTime bounds one REQ to the side, but for the pauses between two tries of it.
func (l *session) inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, readTime, l.fail(fmt.Errorf("%w: it takes longer than %s for one REQ", ErrMisbehaving, readTime)))
}

// cannotRead notes an event that the side delivers and that cannot be read. Beyond
// maxUnread the reasons are not kept, and nothing is proved, see [run.accept].
func (l *session) cannotRead(u Unread) {
	listed := u.Claim.ID
	if id, err := negentropy.ParseID(listed); err == nil {
		listed = id.String()
	}
	l.unreadMu.Lock()
	defer l.unreadMu.Unlock()
	if l.unread == nil {
		l.unread = map[string]string{}
	}
	if len(l.unread) == maxUnread {
		return
	}
	l.unread[listed] = fmt.Sprintf("%s delivers it, but it cannot be read: %s", l.Name, u.Why)
}

// unreadable returns why an event of the side cannot be read, if that was found.
func (l *session) unreadable(id negentropy.ID) (why string, ok bool) {
	l.unreadMu.Lock()
	defer l.unreadMu.Unlock()
	why, ok = l.unread[id.String()]
	return why, ok
}

// sleep waits for d, or until ctx ends. It makes no timer that is due at once:
// under the race detector two of those at a time in a testing/synctest bubble
// crash the runtime (Go 1.26).
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// agreed is the answer of a relay that says nothing: the protocol's version.
var agreed = []byte{0x61}

// exchange sends a message of the bridge and returns the answer. If there is no
// session, or it was dropped, the message opens a new one: what it asks does
// not depend on messages before it.
func (l *session) exchange(ctx context.Context, filter nostr.Filter, msg []byte) (answer []byte, err error) {
	if l.local != nil {
		answer, err = l.local.Respond(msg)
		return slices.Clone(answer), l.fail(err)
	}
	err = l.again(ctx, func() error {
		begun := time.Now()
		defer func() { l.waited += time.Since(begun) }()
		var err error
		if l.neg == nil {
			if l.neg, answer, err = l.Open(ctx, filter, msg); err == nil {
				l.opened++
			}
		} else {
			answer, err = l.neg.Exchange(ctx, msg)
		}
		if err != nil {
			l.hangUp()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	l.answers++
	if most := patience + time.Duration(l.answers)*pace; l.waited > most {
		return nil, l.fail(fmt.Errorf("%w: its %d answers took %s", ErrMisbehaving, l.answers, l.waited.Round(time.Second)))
	}
	if len(answer) == 0 {
		return agreed, nil
	}
	return answer, nil
}

// options are the bridge's word for what the side takes and makes. Any message
// may have to open a session anew, so it leaves space for the filter beside it:
// strfry hangs up on more than 128 KiB.
func (l *session) options(filter nostr.Filter) negentropy.SideOptions {
	if l.near() {
		return negentropy.SideOptions{Answers: nearAnswers, Whole: l.ours()}
	}
	accepts := l.takes.Accepts
	if accepts == 0 {
		accepts = negentropy.DefaultMessageLimit
	}
	accepts -= len(nostr.Encode(filter)) / 2 // a message is sent in hex
	return negentropy.SideOptions{Accepts: max(accepts, negentropy.MinFrameLimit), Answers: l.takes.Answers}
}

// near reports whether a set in this process answers for the side: one that is held here, or was read page by page.
func (l *session) near() bool { return l.ours() || l.listed }

// ours reports whether the side's sessions are answered from a set that is held here.
func (l *session) ours() bool {
	switch l.Relay.(type) {
	case setRelay, overSet:
		return true
	}
	return false
}

// start readies a side to be compared in a window.
func (l *session) start(w window) {
	l.opened = 0
	if !l.listed {
		return
	}
	until := uint64(w.until)
	if w.until == 0 {
		until = math.MaxUint64
	}
	set := negentropy.Range(l.list, uint64(w.since), until)
	l.local = negentropy.NewReconciler(set, negentropy.Options{FrameLimit: nearAnswers})
}

// hangUp ends the session; the next message opens a new one.
func (l *session) hangUp() {
	if l.neg != nil {
		l.neg.Close()
	}
	l.neg, l.local = nil, nil
}
