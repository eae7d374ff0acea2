package bus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// DeadLetter is a dead letter where it is stored.
type DeadLetter struct {
	Seq uint64 `json:"seq"` // in stream DLQ
	contract.DeadLetter
}

// ErrCut is that of a dead letter which holds only the beginning of its
// message.
var ErrCut = errors.New("the message was too long to be kept whole, so it cannot be retried")

// DLQ are the dead letters of all stages.
type DLQ struct {
	js     jetstream.JetStream
	stream jetstream.Stream
}

// OpenDLQ binds to the dead letters; it makes nothing.
func OpenDLQ(ctx context.Context, js jetstream.JetStream) (*DLQ, error) {
	stream, err := js.Stream(ctx, contract.StreamDLQ)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w: has relaymesh provision run?", contract.StreamDLQ, err)
	}
	return &DLQ{js, stream}, nil
}

// DeadLetterFilter selects dead letters; what is empty selects all.
type DeadLetterFilter struct {
	Seqs   []uint64
	Stage  string
	Since  time.Time
	Reason string // a part of the reason, in any case
}

// Each iterates over dead letters, oldest first. One that cannot be read comes
// with an error and its Seq, and the iteration goes on; any other error ends
// it. Letters may be removed inside the loop; those that come while it runs, as
// when a retried message is rejected again, are not part of it.
func (l *DLQ) Each(ctx context.Context, which DeadLetterFilter) iter.Seq2[DeadLetter, error] {
	subject := contract.DLQSubject("*")
	if which.Stage != "" {
		subject = contract.DLQSubject(which.Stage)
	}
	return func(yield func(DeadLetter, error) bool) {
		if len(which.Seqs) > 0 {
			for _, seq := range which.Seqs {
				raw, err := l.stream.GetMsg(ctx, seq)
				if err != nil {
					err = fmt.Errorf("dead letter %d: %w", seq, err)
					if !yield(DeadLetter{Seq: seq}, err) {
						return
					}
					continue
				}
				if !which.give(raw, yield) {
					return
				}
			}
			return
		}
		info, err := l.stream.Info(ctx)
		if err != nil {
			yield(DeadLetter{}, fmt.Errorf("read dead letters: %w", err))
			return
		}
		for next := uint64(1); next <= info.State.LastSeq; {
			raw, err := l.stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(PrefixOf(l.js).Subject(subject)))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return
			}
			if err != nil {
				yield(DeadLetter{}, fmt.Errorf("read dead letters: %w", err))
				return
			}
			if raw.Sequence > info.State.LastSeq || !which.give(raw, yield) {
				return
			}
			next = raw.Sequence + 1
		}
	}
}

// give yields a dead letter if it is selected.
func (w DeadLetterFilter) give(raw *jetstream.RawStreamMsg, yield func(DeadLetter, error) bool) bool {
	dead, err := nostr.Decode[contract.DeadLetter](raw.Data)
	if err != nil {
		return yield(DeadLetter{Seq: raw.Sequence}, fmt.Errorf("dead letter %d: %w", raw.Sequence, err))
	}
	if w.Stage != "" && dead.Stage != w.Stage ||
		dead.Time < w.Since.Unix() && !w.Since.IsZero() ||
		!strings.Contains(strings.ToLower(dead.Reason), strings.ToLower(w.Reason)) {
		return true
	}
	return yield(DeadLetter{raw.Sequence, dead}, nil)
}

// Retry hands a dead letter's message back to its stage and removes the dead letter.
// Attempts are counted anew, but from 2: a stage may take a first attempt at
// what it has handled before for done, and the outputs of that may never have
// been published. The message keeps its history: if it ends as a
// dead letter again, that tells this end, too. After an error it may have been
// handed back and be retried again, which harms nothing.
func (l *DLQ) Retry(ctx context.Context, dead DeadLetter) error {
	if dead.Size > 0 {
		return fmt.Errorf("dead letter %d: %w", dead.Seq, ErrCut)
	}
	history := slices.Concat(dead.History, []contract.Failure{{Reason: dead.Reason, Attempts: dead.Attempts, Time: dead.Time}})
	history = history[max(0, len(history)-contract.MaxHistory):]
	cause := messageID(contract.StreamDLQ, dead.Seq)
	// Without a Nats-Msg-Id: a dead letter may be retried twice in ten minutes.
	msg := &nats.Msg{
		Subject: contract.RetrySubject(dead.Stage, contract.Message{Subject: dead.Subject, Data: dead.Data}),
		Data:    dead.Data,
		Header: nats.Header{
			headerSubject: {dead.Subject},
			headerAttempt: {"1"},
			headerCause:   {cause}, headerCorrelation: {cause},
			headerHistory: {string(nostr.Encode(history))},
		},
	}
	if _, err := l.js.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("dead letter %d: publish %s: %w", dead.Seq, msg.Subject, err)
	}
	return l.Drop(ctx, dead)
}

// Drop removes a dead letter for good.
func (l *DLQ) Drop(ctx context.Context, dead DeadLetter) error {
	err := l.stream.DeleteMsg(ctx, dead.Seq)
	if err == nil {
		return nil
	}
	if _, gone := l.stream.GetMsg(ctx, dead.Seq); errors.Is(gone, jetstream.ErrMsgNotFound) {
		return nil // somebody else did it
	}
	return fmt.Errorf("dead letter %d: remove: %w", dead.Seq, err)
}
