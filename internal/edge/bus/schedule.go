package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// The headers of a message schedule (ADR-51).
const (
	headerSchedule = "Nats-Schedule"
	headerTarget   = "Nats-Schedule-Target"
	// headerScheduler is in what a schedule publishes.
	headerScheduler = "Nats-Scheduler"
)

// scheduled reports whether that schedule is stored. Nothing is where there is
// no stream yet.
func scheduled(ctx context.Context, js jetstream.JetStream, out contract.Output) (bool, error) {
	_, stored, err := storedSchedule(ctx, PrefixOf(js), js.Stream, out)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	return sameSchedule(stored, PrefixOf(js), out), nil
}

// schedule stores a recurring schedule, or removes it. One that is stored
// already is left alone, because publishing it again would start its clock anew
// and swallow a firing that is overdue. find finds the stream of the one that is stored.
func schedule(ctx context.Context, js jetstream.JetStream, find findStream, out contract.Output) error {
	stream, stored, err := storedSchedule(ctx, PrefixOf(js), find, out)
	switch {
	case stream != nil && out.Cron == contract.CronNever:
		return unschedule(ctx, stream, stored, err)
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return err
	case sameSchedule(stored, PrefixOf(js), out):
		return nil
	}
	// Without a Nats-Msg-Id: going back to an earlier schedule within the
	// deduplication window must not be taken for a repetition.
	msg := &nats.Msg{Subject: contract.PrefixSchedule + out.Subject, Data: out.Data, Header: nats.Header{
		headerSchedule: {out.Cron},
		headerTarget:   {out.Subject},
	}}
	Inject(ctx, msg.Header)
	if _, err := js.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("schedule %s: %w", msg.Subject, err)
	}
	return nil
}

// findStream finds a stream by its name in the contract.
type findStream func(ctx context.Context, name string) (jetstream.Stream, error)

// schedule is [schedule] for handlers, which set the same one with most of their messages: the
// stream tells of itself only once, and again after an error.
func (b *Bus) schedule(ctx context.Context, out contract.Output) error {
	found := ""
	err := schedule(ctx, b.js, func(ctx context.Context, name string) (jetstream.Stream, error) {
		found = name
		if s, known := b.found.Load(name); known {
			return s.(jetstream.Stream), nil //nolint:forcetypeassert // nothing else is in it
		}
		s, err := b.js.Stream(ctx, name)
		if err == nil {
			b.found.Store(name, s)
		}
		return s, err
	}, out)
	if err != nil {
		b.found.Delete(found)
	}
	return err
}

// storedSchedule reads the schedule for a subject, and its stream, which is nil
// if that is not there.
func storedSchedule(
	ctx context.Context, prefix contract.Prefix, find findStream, out contract.Output,
) (jetstream.Stream, *jetstream.RawStreamMsg, error) {
	subject := contract.PrefixSchedule + out.Subject
	spec, _, ok := streamOf(subject)
	if !ok {
		return nil, nil, fmt.Errorf("schedule %s: no stream takes it", subject)
	}
	stream, err := find(ctx, spec.Name)
	if err != nil {
		return nil, nil, fmt.Errorf("schedule %s: stream %s: %w", subject, spec.Name, err)
	}
	stored, err := stream.GetLastMsgForSubject(ctx, prefix.Subject(subject))
	if err != nil {
		err = fmt.Errorf("schedule %s: read the stored one: %w", subject, err)
	}
	return stream, stored, err
}

func sameSchedule(stored *jetstream.RawStreamMsg, prefix contract.Prefix, out contract.Output) bool {
	return stored.Header.Get(headerSchedule) == out.Cron &&
		stored.Header.Get(headerTarget) == prefix.Subject(out.Subject) && bytes.Equal(stored.Data, out.Data)
}

// unschedule deletes a schedule, which may be none.
func unschedule(ctx context.Context, stream jetstream.Stream, stored *jetstream.RawStreamMsg, err error) error {
	if err == nil {
		err = stream.DeleteMsg(ctx, stored.Sequence)
	}
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("remove a schedule: %w", err)
	}
	return nil
}

// streams are the streams, which every publish looks at.
var streams = contract.Streams()

// streamOf returns the stream of the contract that stores a subject, and which
// of its patterns matches.
func streamOf(subject string) (s contract.Stream, pattern string, ok bool) {
	for _, s := range streams {
		for _, pattern := range s.Subjects {
			if matches(pattern, subject) {
				return s, pattern, true
			}
		}
	}
	return contract.Stream{}, "", false
}

// matches reports whether a NATS subject matches a pattern with the wildcards
// * (one token) and > (the rest).
func matches(pattern, subject string) bool {
	for {
		p, pRest, pMore := strings.Cut(pattern, ".")
		s, sRest, sMore := strings.Cut(subject, ".")
		switch {
		case p == ">":
			return s != ""
		case p != "*" && p != s, pMore != sMore:
			return false
		case !pMore:
			return true
		}
		pattern, subject = pRest, sRest
	}
}
