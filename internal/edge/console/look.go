package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// batch reads at most limit messages of a stream whose subjects match, from a
// sequence on, oldest first; fewer if they are large.
func batch(ctx context.Context, js jetstream.JetStream, stream, subject string, from uint64, limit int) (
	list []*jetstream.RawStreamMsg, err error,
) {
	prefix := bus.PrefixOf(js)
	messages, err := jetstreamext.GetBatch(ctx, js, prefix.Name(stream), limit, jetstreamext.GetBatchSeq(max(1, from)),
		jetstreamext.GetBatchSubject(prefix.Subject(subject)), jetstreamext.GetBatchMaxBytes(maxBatch))
	if err != nil {
		return nil, fmt.Errorf("read %s of stream %s: %w", subject, stream, err)
	}
	for m, err := range messages {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read %s of stream %s: %w", subject, stream, err)
		}
		m.Subject = prefix.PlainSubject(m.Subject)
		list = append(list, m)
	}
	return list, nil
}

const (
	// maxWindows bounds how many windows of a stream one page looks into.
	maxWindows = 10
	// window is how many sequence numbers a window has.
	window = 500
)

// backwards reads messages of a stream whose subjects match from the newest on, or from
// before a sequence. It looks back a bounded way: where most have been removed, or are of
// other subjects, a page may be short or empty although there are older ones.
func backwards(ctx context.Context, js jetstream.JetStream, stream, subject string, before uint64, limit int) (
	list []*jetstream.RawStreamMsg, p pager, err error,
) {
	handle, err := js.Stream(ctx, stream)
	if err != nil {
		return nil, p, need(err)
	}
	state := handle.CachedInfo().State
	if before == 0 || before > state.LastSeq {
		before = state.LastSeq + 1
	}
	first := max(1, state.FirstSeq)
	for look := 0; look < maxWindows && before > first && len(list) < limit; look++ {
		low := first
		if before > first+window {
			low = before - window
		}
		part, err := between(ctx, js, stream, subject, low, before)
		if err != nil {
			return nil, p, err
		}
		slices.Reverse(part)
		for _, m := range part[:min(len(part), limit-len(list))] {
			list, before = append(list, m), m.Sequence
		}
		if len(list) < limit {
			before = low
		}
	}
	if before > first {
		p.Next, p.Left = before, before-first
	}
	return list, p, nil
}

// between reads the messages from low to before, oldest first.
func between(ctx context.Context, js jetstream.JetStream, stream, subject string, low, before uint64) (
	list []*jetstream.RawStreamMsg, err error,
) {
	for low < before {
		messages, err := batch(ctx, js, stream, subject, low, window)
		if err != nil || len(messages) == 0 {
			return list, err
		}
		for _, m := range messages {
			if low = m.Sequence + 1; m.Sequence >= before {
				return list, nil
			}
			list = append(list, m)
		}
	}
	return list, nil
}

// maxBatch bounds what one question brings, in bytes.
const maxBatch = 4 << 20

// waitingLater counts the messages of a stage that wait for the time of their
// next attempt.
func waitingLater(ctx context.Context, js jetstream.JetStream, stage string) (uint64, error) {
	first, err := batch(ctx, js, contract.StreamRetry, contract.PrefixSchedule+contract.RetrySubjects(stage), 1, 1)
	if err != nil || len(first) == 0 {
		return 0, err
	}
	more, err := strconv.ParseUint(first[0].Header.Get("Nats-Num-Pending"), 10, 64)
	return more + 1, err
}

// lastOf looks for the newest message of a stream whose subject matches, and
// says what went wrong with it; nil if there is none, or it does not say. The
// client library asks for the last message of one subject only.
func lastOf(ctx context.Context, js jetstream.JetStream, stream, subject string) (*Problem, error) {
	prefix := bus.PrefixOf(js)
	question, err := json.Marshal(map[string]string{"last_by_subj": prefix.Subject(subject)})
	if err != nil {
		return nil, err
	}
	m, err := js.Conn().RequestWithContext(ctx, bus.APIPrefix(js)+"DIRECT.GET."+prefix.Name(stream), question)
	if err != nil {
		return nil, fmt.Errorf("last of %s: %w", subject, err)
	}
	if m.Header.Get("Status") != "" { // 404
		return nil, nil //nolint:nilnil // an empty stream is no error
	}
	if stream == contract.StreamDLQ {
		dead, err := nostr.Decode[contract.DeadLetter](m.Data)
		if err != nil {
			return nil, nil //nolint:nilerr,nilnil // what nobody can read is shown with the dead letters
		}
		seq, _ := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
		return &Problem{Time: dead.Time, Subject: dead.Subject, Reason: dead.Reason, DeadLetter: seq}, nil
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
