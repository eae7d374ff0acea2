package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// retryAfter is the first wait when a port fails; the bus lets it grow.
const retryAfter = 2 * time.Second

// Stage is the handler of ingest and its ports. Make it with [New].
type Stage struct {
	Ports
	cached       *recent.Map[string, cachedAuthor]
	followed     *recent.Map[string, string]   // list ids by source and author
	seen         *recent.Map[string, string]   // the causes of the messages that brought events, by their ids
	causes       *recent.Map[string, struct{}] // of the other messages
	missingLimit rateLimit
	named        *recent.Map[string, int64] // when relays were last named by the way
	namedLimit   rateLimit
}

// Ports are what ingest needs of the world.
type Ports struct {
	Authors stage.Store[contract.Author]
	Records stage.Store[contract.Record]
	Links   stage.Store[contract.Link]

	// Missing returns those of the references that the local relay does not
	// have. It asks for many callers at once.
	Missing func(ctx context.Context, refs []events.NoteMissing) ([]events.NoteMissing, error)
	// Verify checks the signatures of events whose ids are right, and returns an
	// error or nil for each; the senders are who handed them over. An error with a
	// method RetryAfter() time.Duration says that it has not been looked at.
	Verify func(senders []string, all []*nostr.Event) []error
	// VerifyList checks a BIP-340 signature over SHA-256 of the JSON array of
	// a relay list.
	VerifyList func(relays []string, signature, pubkey string) error

	Policy Policy
	// Denied is what the operator denies: it has no effect, whoever says it. It
	// may be nil.
	Denied *deny.Lists
	// ResolveEvery is how often an author's list is looked up; author.seen is
	// published once in that time.
	ResolveEvery time.Duration
	// Mentions keeps who reads where, too, for syncs of what mentions them.
	Mentions bool
	// AllowPrivate accepts relays on the own machine and network.
	AllowPrivate bool
	Now          func() time.Time
}

// New returns a stage, whose Handle may be called many times at once.
func New(p Ports) *Stage {
	return &Stage{
		Ports:  p,
		cached: &recent.Map[string, cachedAuthor]{Size: maxCachedAuthors}, followed: &recent.Map[string, string]{Size: maxCachedAuthors},
		seen:         &recent.Map[string, string]{Size: seenEvents},
		causes:       &recent.Map[string, struct{}]{},
		missingLimit: rateLimit{perMinute: p.Policy.MissingPerMinute},
		named:        &recent.Map[string, int64]{}, namedLimit: rateLimit{perMinute: namedPerMinute},
	}
}

const (
	// seenEvents is how many ids are remembered at least; twice as many are
	// 35 MiB.
	seenEvents = 1 << 17
	// maxCachedAuthors is how many authors and lists are remembered at least; twice
	// as many are 25 MiB each.
	maxCachedAuthors = 1 << 16
	// namedPerMinute is how many relays an author's events may make known in a minute,
	// and namedEvery how often it is told that one is named.
	namedPerMinute = 30
	namedEvery     = 24 * 3600
)

// Handle takes one message of the intake stream.
func (s *Stage) Handle(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
	var out []contract.Output
	var err error
	switch m.Subject {
	case events.SubjectEventReceived:
		out, err = s.event(ctx, m)
	case events.SubjectAuthorSeen:
		out, err = s.authorSeen(ctx, m)
	case events.SubjectRelayListSigned:
		out, err = s.relayListSigned(ctx, m)
	case events.SubjectRelayDiscovered:
		out, err = s.relayDiscovered(ctx, m.Data)
	case events.SubjectNoteMissing:
		out, err = s.noteMissing(ctx, m.Data)
	default:
		err = bad(fmt.Errorf("subject %s is not one that ingest takes", m.Subject))
	}
	if later := interface{ RetryAfter() time.Duration }(nil); errors.As(err, &later) {
		return nil, contract.Retry(later.RetryAfter(), err.Error())
	}
	if refused := (inputError{}); errors.As(err, &refused) {
		return out, contract.Reject(refused.Error())
	}
	if err != nil {
		return out, contract.Retry(retryAfter, err.Error())
	}
	return out, contract.Done()
}

// again reports whether a message that is no event may have been handled before, and
// its outputs be lost: see [Stage.event].
func (s *Stage) again(m contract.Message) bool {
	_, known := s.causes.LoadOrStore(m.Cause, struct{}{})
	return known || m.Attempt > 1
}

// ours reports whether an author is one that we care for.
func (s *Stage) ours(pubkey string) bool { return s.Policy.ours(pubkey) && !s.Denied.Key(pubkey) }

// inputError is an error in the message itself, which no retry can mend.
type inputError struct{ error }

func (e inputError) Unwrap() error { return e.error }

func bad(err error) error { return inputError{err} }

// checked is what a message has been found to be.
type checked struct {
	event *nostr.Event
	err   error // of the event, or of its signature
	done  bool  // there is nothing to do
}

// Prepare verifies the events of many messages together.
func (s *Stage) Prepare(ms []*contract.Message) {
	var senders []string
	var all []*nostr.Event
	var of []*checked
	for _, m := range ms {
		if m.Subject != events.SubjectEventReceived {
			continue
		}
		c := s.parse(m)
		if m.Prepared = c; c.err == nil && !c.done {
			senders, all, of = append(senders, m.Sender), append(all, c.event), append(of, c)
		}
	}
	for i, err := range s.Verify(senders, all) {
		of[i].err = err
	}
}

// parse reads the event of a message, and all of it that comes before its signature.
func (s *Stage) parse(m *contract.Message) *checked {
	if id, _ := nostr.PeekID(m.Data); s.had(id, m) {
		return &checked{done: true}
	}
	e, err := nostr.ParseEvent(m.Data)
	if err != nil {
		return &checked{err: err}
	}
	return s.screen(&e)
}

// had reports whether another message has brought an event before. That is known by its
// id, which costs a fraction of decoding it. Only a first attempt may be taken for
// done, because an event is remembered when it is handled, and its outputs may fail to
// be published after that: it is the other message that comes again then, and for the
// same reason one that is delivered twice is handled twice.
func (s *Stage) had(id string, m *contract.Message) bool {
	cause, seen := s.seen.Get(id)
	return seen && cause != m.Cause && m.Attempt <= 1
}

// screen passes over events that are none of our business.
func (s *Stage) screen(e *nostr.Event) *checked {
	if !s.Policy.ours(e.PubKey) || nostr.Ephemeral(e.Kind) || s.Denied.Event(e) {
		return &checked{done: true}
	}
	return &checked{event: e, err: e.CheckTime(s.Now().Unix())}
}

// event takes a Nostr event, as on the wire.
func (s *Stage) event(ctx context.Context, m contract.Message) ([]contract.Output, error) {
	c, prepared := m.Prepared.(*checked)
	if !prepared {
		c = s.parse(&m)
		s.verify(c, m.Sender)
	}
	if c.event != nil && s.had(c.event.ID, &m) {
		return nil, nil // a message that was prepared with this one brought it, too
	}
	return s.accept(ctx, c, m)
}

// verify verifies an event alone.
func (s *Stage) verify(c *checked, sender string) {
	if c.err == nil && !c.done {
		c.err = s.Verify([]string{sender}, []*nostr.Event{c.event})[0]
	}
}

// accept takes an event of the right shape, id and signature.
func (s *Stage) accept(ctx context.Context, c *checked, m contract.Message) ([]contract.Output, error) {
	if c.err != nil {
		return nil, bad(c.err)
	}
	if c.done {
		return nil, nil
	}
	e := c.event
	f, unusable := decideEvent(e, s.AllowPrivate)
	if unusable != nil && f.list == nil {
		return nil, bad(unusable)
	}
	if !s.Policy.refers(e.Kind) {
		f.refs = nil
	}
	f.without(s.Denied.Now())
	cause, seen := s.seen.LoadOrStore(e.ID, m.Cause)
	again := m.Attempt > 1 || seen && cause == m.Cause
	out, err := s.learn(ctx, e.PubKey, f, source{by: e.PubKey, at: e.CreatedAt, again: again})
	if err == nil && unusable != nil {
		err = bad(unusable)
	}
	if err != nil {
		s.seen.Delete(e.ID)
		return out, err
	}
	out = append(out, s.hinted(e, f.named, again)...)
	if f.dag != "" {
		out = append(out, contract.Output{
			Subject: events.SubjectDAGWanted,
			Data:    nostr.Encode(events.DAGWanted{Root: f.dag, PubKey: e.PubKey, Event: e.ID}),
		})
	}
	return out, nil
}

// hinted tells of the relays that an event names, once a day for each: a survey asks them
// for everybody. Nobody is said to write there. again says that the event was handled
// before, and that what it led to may be lost.
func (s *Stage) hinted(e *nostr.Event, urls []string, again bool) (out []contract.Output) {
	now := s.Now().Unix()
	for _, url := range urls {
		at, known := s.named.Get(url)
		if known && !again && now-at < namedEvery && at <= now || s.namedLimit.allow(e.PubKey, 1, now/60) == 0 {
			continue
		}
		s.named.Put(url, now)
		out = append(out, contract.Output{
			Subject: contract.RelayDiscoveredSubject(nostr.RelayKey(url)),
			Data:    nostr.Encode(events.RelayDiscovered{URL: url, Via: contract.ViaHint, Cause: e.ID}),
		})
	}
	return out
}
