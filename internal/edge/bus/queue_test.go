package bus_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// source publishes as a stage would, without handling anything.
func (w *world) source() *bus.Bus {
	w.Helper()
	b, err := bus.New(w.JS, bus.Options{Stage: contract.StageIngest})
	if err != nil {
		w.Fatal(err)
	}
	return b
}

func (w *world) send(b *bus.Bus, subject, data string) {
	w.Helper()
	if err := b.Publish(context.Background(), contract.Output{Subject: subject, Data: []byte(data)}); err != nil {
		w.Fatal(err)
	}
}

func TestANoteIsQueuedOnceWhileOutstanding(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.source()
		subject := contract.NoteMissingSubject("a")
		for i := range 5 { // of different content, so that only the stream can tell
			w.send(b, subject, strconv.Itoa(i))
			time.Sleep(time.Hour)
		}
		seen := w.record()
		release := make(chan struct{})
		w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				seen.add(m)
				<-release
				return nil, contract.Done()
			}})
		time.Sleep(time.Minute)
		w.send(b, subject, "in flight")
		close(release)
		time.Sleep(time.Minute)
		if got := seen.all(); len(got) != 1 || string(got[0].Data) != "0" {
			w.Errorf("handled %+v, want the first alone", got)
		}
		w.send(b, subject, "afterwards")
		time.Sleep(time.Minute)
		if got := seen.all(); len(got) != 2 || string(got[1].Data) != "afterwards" {
			w.Errorf("handled %+v, want a new one once the first is done", got)
		}
	})
}

func TestWakeUpsCoalesceAndOneThatArrivesInFlightIsNotLost(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.source()
		subject := contract.AuthorSeenSubject("a")
		for i := range 5 {
			w.send(b, subject, strconv.Itoa(i))
		}
		seen := w.record()
		release := make(chan struct{})
		w.work(contract.StageDHTWorker,
			handlers{contract.ConsumerResolve: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				seen.add(m)
				<-release
				return nil, contract.Done()
			}})
		time.Sleep(time.Second)
		w.send(b, subject, "in flight 1")
		w.send(b, subject, "in flight 2")
		close(release)
		time.Sleep(time.Minute)
		var got []string
		for _, c := range seen.all() {
			got = append(got, string(c.Data))
		}
		// The second of those in flight replaces the first unless that one
		// was delivered before; then both run at the same time.
		if len(got) < 2 || len(got) > 3 || got[0] != "4" || !slices.Contains(got, "in flight 2") {
			w.Errorf("handled %q, want the newest before and the newest since", got)
		}
		if n := w.Stored(contract.StreamAuthor); n != 0 {
			w.Errorf("%d messages left", n)
		}
	})
}

func TestAnOutputMayNameItsID(t *testing.T) {
	inWorld(t, func(w *world) {
		w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				return []contract.Output{{Subject: events.SubjectNoteFound, Data: m.Data, ID: "event 1"}}, contract.Done()
			}})
		b := w.source()
		w.send(b, contract.NoteMissingSubject("a"), "from one relay")
		w.send(b, contract.NoteMissingSubject("b"), "from another, in another order of fields")
		time.Sleep(time.Minute)
		if err := b.Publish(context.Background(),
			contract.Output{Subject: events.SubjectNoteFound, Data: []byte("from a source"), ID: "event 1"}); err != nil {
			w.Fatal(err)
		}
		if n := w.Stored(contract.StreamOutcome); n != 1 {
			w.Errorf("%d messages stored, want 1", n)
		}
	})
}

// Whoever may publish may have used the Nats-Msg-Id of a message before: the id of
// an event, or what a stage makes of content.
func TestTheIntakeTakesWhatFollowsRubbishUnderItsID(t *testing.T) {
	inWorld(t, func(w *world) {
		out := contract.Output{Subject: events.SubjectEventReceived, Data: []byte("event"), ID: "event 1"}
		rubbish := nats.NewMsg(out.Subject)
		rubbish.Header.Set(jetstream.MsgIDHeader, out.ID)
		if _, err := w.JS.PublishMsg(w.Context(), rubbish); err != nil {
			w.Fatal(err)
		}
		if err := w.source().Publish(w.Context(), out); err != nil { // a tail, a sync
			w.Fatal(err)
		}
		if n := w.Stored(contract.StreamIntake); n != 2 {
			w.Errorf("%d messages stored, want rubbish and event", n)
		}
		time.Sleep(time.Second)
		if ack, err := w.JS.PublishMsg(w.Context(), rubbish); err != nil || ack.Duplicate { // a producer of others, which sets one
			w.Errorf("%+v, %v: the id of another is used up for long", ack, err)
		}
	})
}

// conflicting is a replicated stream that is busy with the same message of
// another publisher for a while.
type conflicting struct {
	jetstream.JetStream
	left int
}

func (c *conflicting) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if c.left--; c.left >= 0 {
		return nil, &jetstream.APIError{Code: 409, ErrorCode: 10158, Description: "duplicate message id is in process"}
	}
	return c.JetStream.PublishMsg(ctx, m, o...)
}

func TestAMessageThatAnotherIsPublishingIsTriedUntilItIsStored(t *testing.T) {
	inWorld(t, func(w *world) {
		for tries, want := range map[int]bool{3: true, 1_000_000: false} {
			b, err := bus.New(&conflicting{w.JS, tries}, bus.Options{Stage: contract.StageIngest})
			if err != nil {
				w.Fatal(err)
			}
			out := contract.Output{Subject: events.SubjectEventReceived, Data: []byte(strconv.Itoa(tries))}
			if err := b.Publish(context.Background(), out); (err == nil) != want {
				w.Errorf("%d conflicts: %v", tries, err)
			}
		}
		if n := w.Stored(contract.StreamIntake); n != 1 {
			w.Errorf("%d messages are stored, want 1", n)
		}
	})
}

// A stream without a leader answers nothing at all.
func TestPublishingWaitsForAStream(t *testing.T) {
	inWorld(t, func(w *world) {
		s, err := w.JS.Stream(context.Background(), contract.StreamOutcome)
		if err != nil {
			w.Fatal(err)
		}
		c := s.CachedInfo().Config
		if err := w.JS.DeleteStream(context.Background(), c.Name); err != nil {
			w.Fatal(err)
		}
		elected := time.AfterFunc(8*time.Second, func() {
			if _, err := w.JS.CreateStream(context.Background(), c); err != nil {
				w.Error(err)
			}
		})
		defer elected.Stop()
		w.send(w.source(), events.SubjectNoteFound, "{}")
		if n := w.Stored(contract.StreamOutcome); n != 1 {
			w.Errorf("%d messages are stored, want 1", n)
		}
	})
}
