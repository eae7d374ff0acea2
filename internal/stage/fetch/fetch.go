package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

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
	case err != nil && m.Attempt < maxAttempts:
		return nil, events.Retry(retryAfter, err.Error())
	case err != nil:
		response.Why = err.Error()
		fallthrough
	case !response.Found:
		return []events.Output{{Subject: events.SubjectNoteLost, Data: events.Encode(response), ID: "lost:" + m.Cause}}, events.Done()
	}
	return []events.Output{
		{Subject: events.SubjectEventReceived, Data: events.Encode(response.Event), ID: response.Event.ID},
		{Subject: events.SubjectNoteFound, Data: events.Encode(response), ID: "found:" + m.Cause},
	}, events.Done()
}

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
		return response, askErr
	}
	refused, err := s.Net.Publish(ctx, s.Local, found.event)
	if err != nil {
		return response, fmt.Errorf("couldn't write the note to the local relay: %w", err)
	}
	if refused != "" {
		response.Why = "the local relay refused it: " + refused
		return response, nil
	}
	response.Event, response.Found, response.RelayURL = &found.event, true, found.url
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
func (s *Stage) ask(ctx context.Context, filter events.Filter, relays []string) (*answer, error) {
	ctx, cancel := context.WithCancel(ctx)
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
				case err != nil && ctx.Err() == nil:
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
	return found, errors.Join(errs...)
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
