package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// found is the first message of a stream that matches a subject.
type found struct {
	at   time.Time
	more uint64 // how many match, too
}

// firstOf looks for the oldest message of a stream whose subject matches; nil
// if there is none.
func firstOf(ctx context.Context, js jetstream.JetStream, stream, subject string) (*found, error) {
	messages, err := jetstreamext.GetBatch(ctx, js, stream, 1, jetstreamext.GetBatchSubject(subject))
	if err != nil {
		return nil, fmt.Errorf("first of %s: %w", subject, err)
	}
	for m, err := range messages {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("first of %s: %w", subject, err)
		}
		more, _ := strconv.ParseUint(m.Header.Get("Nats-Num-Pending"), 10, 64)
		return &found{m.Time, more}, nil
	}
	return nil, nil //nolint:nilnil // an empty stream is no error
}

// lastOf looks for the newest message of a stream whose subject matches, and
// says what went wrong with it; nil if there is none, or it does not say. The
// client library asks for the last message of one subject only.
func lastOf(ctx context.Context, js jetstream.JetStream, stream, subject string) (*Problem, error) {
	question, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return nil, err
	}
	m, err := js.Conn().RequestWithContext(ctx, "$JS.API.DIRECT.GET."+stream, question)
	if err != nil {
		return nil, fmt.Errorf("last of %s: %w", subject, err)
	}
	if m.Header.Get("Status") != "" { // 404
		return nil, nil //nolint:nilnil // an empty stream is no error
	}
	if stream == events.StreamDLQ {
		letter, err := events.Decode[events.DeadLetter](m.Data)
		if err != nil {
			return nil, nil //nolint:nilerr,nilnil // what nobody can read is shown with the dead letters
		}
		seq, _ := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
		return &Problem{Time: letter.Time, Subject: letter.Subject, Reason: letter.Reason, Letter: seq}, nil
	}
	return retried(m.Header)
}

// retried tells of a message on RETRY why it waits there.
func retried(h nats.Header) (*Problem, error) {
	subject, why := bus.WaitsBecause(h)
	at, err := time.Parse(time.RFC3339Nano, h.Get(jetstream.TimeStampHeaer))
	if err != nil || why == "" {
		return nil, nil //nolint:nilerr,nilnil // the operator handed it back, or an older version made it wait
	}
	return &Problem{Time: at.Unix(), Subject: subject, Reason: why}, nil
}
