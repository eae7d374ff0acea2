package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// found ends the search with the event, once it is at the local relay.
func (f *search) found(ctx context.Context) {
	response := events.MissingNoteResponse{RelayURL: f.best.url}
	why, err := f.stage.land(ctx, *f.best)
	switch {
	case err != nil:
		f.end(events.MissingNoteResponse{}, err)
	case why != "":
		response.Why = why
		f.stage.remember(ctx, f.need, f.askedRelays(), why)
		f.end(response, nil)
	default:
		response.Found, response.Event = true, f.best.event
		f.end(response, nil)
	}
}

// lost ends the search without an event, unless others have queued more
// relays. It is lost only if all who were asked have answered.
func (f *search) lost(ctx context.Context) bool {
	s := f.stage
	if f.ended {
		return true
	}
	s.mu.Lock()
	if len(f.hedger.queue) > 0 {
		s.mu.Unlock()
		return false
	}
	delete(s.searches, f.need.Key()) // who comes now starts another
	errs, why := errors.Join(f.errs...), fmt.Sprintf("none of %d relays has it", f.asked)
	s.mu.Unlock()
	if errs != nil {
		f.end(events.MissingNoteResponse{Why: why}, &silentError{fmt.Errorf("no answer: %w", errs), f.askedRelays()})
		return true
	}
	s.remember(ctx, f.need, f.askedRelays(), why)
	f.end(events.MissingNoteResponse{Why: why}, nil)
	return true
}

func (f *search) end(r events.MissingNoteResponse, err error) {
	if f.ended {
		return
	}
	s := f.stage
	s.mu.Lock()
	if s.searches[f.need.Key()] == f {
		delete(s.searches, f.need.Key())
	}
	s.mu.Unlock()
	r.EventID, r.Address, r.Timestamp = f.need.EventID, f.need.Address, s.Now().Unix()
	f.response, f.err, f.ended = r, err, true
	close(f.done)
}

// silentError says that somewhere that may have the note gave no answer: it is
// not known to be lost, but nothing promises that an answer will ever come.
type silentError struct {
	error
	asked []string
}

func (e *silentError) Unwrap() error { return e.error }

// overdue words the end of the time.
type overdue struct{ error }

func (overdue) Error() string   { return "the deadline has passed" }
func (e overdue) Unwrap() error { return e.error }

// soFar tells someone who cannot wait any longer how the search stands.
func (f *search) soFar(cause error) error {
	if errors.Is(cause, context.DeadlineExceeded) {
		cause = overdue{cause}
	}
	f.stage.mu.Lock()
	var waits []string
	for _, url := range append(f.hedger.silent(), f.hedger.queue...) {
		if why := f.passing[url]; why != nil {
			url += " (" + why.Error() + ")"
		}
		waits = append(waits, url)
	}
	err := cause
	if len(waits) > 0 {
		err = fmt.Errorf("%w: no answer yet from %s", cause, strings.Join(waits, ", "))
	}
	err = errors.Join(append([]error{err}, f.errs...)...)
	f.stage.mu.Unlock()
	return &silentError{err, f.askedRelays()}
}

func (f *search) askedRelays() []string {
	f.stage.mu.Lock()
	defer f.stage.mu.Unlock()
	return slices.Sorted(slices.Values(f.hedger.seen))
}

// land writes an event to the local relay, if there is one and it lacks it. why is
// set if it must not be there; then it is not shown to those who asked, either.
func (s *Stage) land(ctx context.Context, found reply) (why string, err error) {
	if s.Local == "" || nostr.SameRelay(found.url, s.Local) {
		return "", nil
	}
	forbidden := found.url + " has it, but it must not be copied: "
	// An id does not say of which kind its event is, and whoever asks may be no party.
	if nostr.Private(found.event.Kind) {
		return forbidden + string(reconcile.Private), nil
	}
	local, err := s.Net.At(ctx, s.Local)
	var reply reconcile.Reply
	if err == nil {
		reply, err = stage.Gate(local, s.Deleted, s.Denied, s.Now).Publish(ctx, *found.event)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("couldn't write the note to the local relay: %w", err)
	case reply.Kept():
		return "", nil
	case reply.Reason.Cause == reconcile.ByRules:
		return forbidden + reply.Reason.String(), nil
	case reply.Reason.Passes(): // such as that its disk is full
		return "", fmt.Errorf("the local relay cannot take the note now: %s", reply.Reason)
	}
	return fmt.Sprint("the local relay refused it: ", reply.Reason), nil
}

// remember holds a note to be lost for a while. That it cannot be written down
// costs another search and nothing else.
func (s *Stage) remember(ctx context.Context, n events.NoteMissing, asked []string, why string) {
	now := s.Now().Unix()
	_, err := s.Lost.Update(ctx, n.Key(), func(old contract.Lost, _ bool) (contract.Lost, bool) {
		return lose(old, others(asked, s.Local), why, now, s.LostFor), true
	})
	if err != nil {
		s.Log.WarnContext(ctx, "couldn't remember that a note is lost", "note", n.Key(), "err", err)
	}
}
