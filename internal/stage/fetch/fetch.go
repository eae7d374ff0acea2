package fetch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// maxAttempts is how often a note is looked for, while some of the relays
	// that may have it give no answer; then it is lost.
	maxAttempts = 4
	// busyAttempts is how often a note waits for its host's share of the slots
	// before it is given up: for about half an hour.
	busyAttempts = 8
	retryAfter   = 15 * time.Second
)

// Handle takes note.missing.<key>.
func (s *Stage) Handle(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
	n, err := nostr.Decode[events.NoteMissing](m.Data)
	key := n.Key() // as it was written: earlier versions spelled an address as it came
	if err == nil {
		n, err = n.Validate(s.AllowPrivate)
	}
	if err == nil && key != m.Key() {
		err = errors.New("event_id: is not the key of the subject")
	}
	if err != nil {
		return nil, contract.Reject(err.Error())
	}
	release, err := s.slot(ctx, n)
	switch {
	case errors.Is(err, hosts.ErrBusy) && m.Attempt >= busyAttempts:
		return lost(m, events.MissingNoteResponse{EventID: n.EventID, Address: n.Address, Timestamp: s.Now().Unix(), Why: err.Error()})
	case err != nil:
		return nil, contract.Retry(retryAfter, err.Error())
	}
	defer release()
	response, err := s.fetch(ctx, n, false)
	if silent := (*silentError)(nil); errors.As(err, &silent) && m.Attempt >= maxAttempts && ctx.Err() == nil {
		response.Why = err.Error()
		s.remember(ctx, n, silent.asked, response.Why)
	} else if err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	}
	if !response.Found {
		return lost(m, response)
	}
	out := []contract.Output{{Subject: events.SubjectNoteFound, Data: nostr.Encode(response), ID: "found:" + m.Cause}}
	if response.Event != nil {
		received, _ := stage.Received(*response.Event)
		out = append(out, received)
	}
	return out, contract.Done()
}

// lost says that a note was not found.
func lost(m contract.Message, response events.MissingNoteResponse) ([]contract.Output, contract.Verdict) {
	return []contract.Output{{Subject: events.SubjectNoteLost, Data: nostr.Encode(response), ID: "lost:" + m.Cause}}, contract.Done()
}

// fetch finds a note and writes it to the local relay, which is itself asked
// only if home. An error means that it may still be found later; Found false
// without one, that every relay which may have it answered that it does not,
// now or lately. n has passed Validate.
func (s *Stage) fetch(ctx context.Context, n events.NoteMissing, home bool) (events.MissingNoteResponse, error) {
	response := events.MissingNoteResponse{EventID: n.EventID, Address: n.Address, Timestamp: s.Now().Unix()}
	patience := time.Duration(math.MaxInt64)
	if deadline, ok := ctx.Deadline(); ok {
		patience = time.Until(deadline)
	}
	if s.Denied.ID(n.EventID) || s.Denied.Key(n.AuthorPubkey) {
		response.Why = "the note is " + string(reconcile.Denied)
		return response, nil
	}
	n.Relays = s.Denied.Relays(n.Relays)
	lost, _, err := s.Lost.Get(ctx, n.Key())
	if err != nil {
		return response, err
	}
	first, held := firstHints(n), false
	if hinted, is := unasked(lost, n.Relays, s.Local, response.Timestamp); is {
		first, held = hinted, true
	} else {
		lost = contract.Lost{}
	}
	if home && s.Local != "" {
		first = append([]string{s.Local}, first...)
	}
	if held && len(first) == 0 {
		response.Why = heldWhy(lost)
		return response, nil
	}
	f, onlyDHT, err := s.join(ctx, n, first, held, lost.Relays)
	if err != nil {
		return response, err
	}
	if err := s.await(ctx, f, onlyDHT, patience); err != nil {
		return response, f.soFar(err)
	}
	response = f.response
	if response.Event != nil {
		if _, fits := stage.Received(*response.Event); !fits { // the local relay has it, but no message can carry it
			response.Event = nil
		}
	}
	if held && !response.Found && f.err == nil {
		response.Why = heldWhy(lost)
	}
	return response, f.err
}

func heldWhy(lost contract.Lost) string {
	at := func(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.DateTime) }
	return fmt.Sprintf("%s, as of %s UTC; it is not looked for again before %s, but at relays that were not asked", lost.Why, at(lost.At),
		at(lost.Until))
}
