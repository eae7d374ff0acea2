package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
)

const (
	// asking is how many relays are asked for one note at a time.
	asking = 6
	// askTimeout bounds the answer of one relay.
	askTimeout = 5 * time.Second
	// maxAttempts is how often a note is looked for, while some of the relays
	// that may have it give no answer; then it is lost.
	maxAttempts = 4
	retryAfter  = 15 * time.Second
)

// Handle takes note.missing.<key>.
func (s *Stage) Handle(ctx context.Context, m events.Message) ([]events.Output, events.Verdict) {
	n, err := events.Decode[events.NoteMissing](m.Data)
	if err == nil {
		n, err = n.Validate(s.AllowPrivate)
	}
	if err == nil && n.Key() != m.Key() {
		err = errors.New("event_id: is not the key of the subject")
	}
	if err != nil {
		return nil, events.Reject(err.Error())
	}
	response, err := s.Fetch(ctx, n)
	switch {
	case errors.Is(err, errSilent) && m.Attempt >= maxAttempts && ctx.Err() == nil:
		response.Why = err.Error()
	case err != nil:
		return nil, events.Retry(retryAfter, err.Error())
	}
	if !response.Found {
		return []events.Output{{Subject: events.SubjectNoteLost, Data: events.Encode(response), ID: "lost:" + m.Cause}}, events.Done()
	}
	out := []events.Output{{Subject: events.SubjectNoteFound, Data: events.Encode(response), ID: "found:" + m.Cause}}
	if response.Event != nil {
		received, _ := stage.Received(*response.Event)
		out = append(out, received)
	}
	return out, events.Done()
}

// errSilent says that somewhere that may have the note gave no answer: it is
// not known to be lost, but nothing promises that an answer will ever come.
var errSilent = errors.New("no answer")

// Fetch finds a note and writes it to the local relay. An error means that it
// may still be found later; Found false without one, that every relay which
// may have it answered that it does not. n has passed Validate.
func (s *Stage) Fetch(ctx context.Context, n events.NoteMissing) (events.MissingNoteResponse, error) {
	response := events.MissingNoteResponse{EventID: n.EventID, Address: n.Address, Timestamp: s.Now().Unix()}
	relays, author, err := s.where(ctx, n)
	if err != nil {
		return response, err
	}
	found, askErr := s.ask(ctx, n.Filter(), relays)
	if found == nil {
		// The DHT last: it takes longest, and most lists are known already.
		more, err := s.whereByDHT(ctx, n, author, relays)
		askErr = errors.Join(askErr, err)
		relays = append(relays, more...)
		if found, err = s.ask(ctx, n.Filter(), more); err != nil {
			askErr = errors.Join(askErr, err)
		}
	}
	if found == nil {
		response.Why = fmt.Sprintf("none of %d relays has it", len(relays))
		if askErr != nil {
			askErr = fmt.Errorf("%w: %w", errSilent, askErr)
		}
		return response, askErr
	}
	if why := stage.MayCopy(&found.event, s.Now().Unix()); why != "" {
		response.Why = found.url + " has it, but it must not be copied: " + why
		return response, nil
	}
	refused, err := s.Net.Publish(ctx, s.Local, found.event)
	if err != nil {
		return response, fmt.Errorf("couldn't write the note to the local relay: %w", err)
	}
	if refused != "" {
		response.Why = "the local relay refused it: " + refused
		return response, nil
	}
	response.Found, response.RelayURL = true, found.url
	if _, fits := stage.Received(found.event); fits { // else the local relay has it, but no message can carry it
		response.Event = &found.event
	}
	return response, nil
}

// where collects the relays that are known without asking anyone.
func (s *Stage) where(ctx context.Context, n events.NoteMissing) ([]string, events.Author, error) {
	var author events.Author
	var linked []string
	if n.AuthorPubkey != "" {
		var err error
		if author, _, err = s.Authors.Get(ctx, n.AuthorPubkey); err != nil {
			return nil, author, err
		}
		err = s.Links.Each(ctx, events.LinkKey("*", n.AuthorPubkey), func(_ string, l events.Link) error {
			linked = append(linked, l.URL)
			return nil
		})
		if err != nil {
			return nil, author, err
		}
	}
	return candidates(n, author, linked, s.Local), author, nil
}

// whereByDHT returns the relays of the author's list on the DHT that were not
// asked yet.
func (s *Stage) whereByDHT(ctx context.Context, n events.NoteMissing, author events.Author, asked []string) ([]string, error) {
	key := author.DHTKey
	if key == "" {
		key = n.DHTKey
	}
	if key == "" {
		return nil, nil
	}
	answer, err := s.Resolve(ctx, events.ResolveRequest{PubKey: n.AuthorPubkey, DHTKey: key})
	if err != nil {
		return nil, fmt.Errorf("couldn't resolve the author's list: %w", err)
	}
	var more []string
	for _, url := range answer.Relays {
		if url != s.Local && !slices.Contains(asked, url) {
			more = append(more, url)
		}
	}
	return more, nil
}

// answer is an event and the relay that gave it.
type answer struct {
	event events.Event
	url   string
}

// ask asks relays in parallel until one has the event. The error, if none has
// it, joins those of the relays that could not be asked.
func (s *Stage) ask(caller context.Context, filter events.Filter, relays []string) (*answer, error) {
	ctx, cancel := context.WithCancel(caller)
	defer cancel()
	var (
		mu    sync.Mutex
		found *answer
		errs  []error
		wait  sync.WaitGroup
		next  = make(chan string)
	)
	for range min(asking, len(relays)) {
		wait.Go(func() {
			for url := range next {
				e, err := s.askOne(ctx, url, filter)
				mu.Lock()
				switch {
				case e != nil && found == nil:
					found = &answer{*e, url}
					cancel()
				case err != nil:
					errs = append(errs, fmt.Errorf("%s: %w", url, err))
				}
				mu.Unlock()
			}
		})
	}
	for _, url := range relays {
		if ctx.Err() != nil {
			break
		}
		next <- url
	}
	close(next)
	wait.Wait()
	if found != nil {
		return found, nil
	}
	return nil, errors.Join(append(errs, caller.Err())...) // some may not have been asked
}

// askOne returns the newest event of a relay that matches, or nil.
func (s *Stage) askOne(ctx context.Context, url string, filter events.Filter) (*events.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var newest *events.Event
	for e, err := range s.Net.Query(ctx, url, filter) {
		if err != nil {
			return newest, err
		}
		if newest == nil || e.CreatedAt > newest.CreatedAt {
			newest = &e
		}
	}
	return newest, nil
}
