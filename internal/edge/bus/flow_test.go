package bus_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/events"
)

func TestOutputsAreStoredBeforeTheMessageIsDone(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				seen.add(m)
				return []contract.Output{
					{Subject: events.SubjectNoteFound, Data: []byte("1")}, {Subject: events.SubjectNoteLost, Data: []byte("2")},
				}, contract.Done()
			}})
		w.publish(contract.NoteMissingSubject("a"), "{}")
		time.Sleep(time.Second)
		got := seen.all()
		if len(got) != 1 || got[0].Subject != contract.NoteMissingSubject("a") || string(got[0].Data) != "{}" || got[0].Attempt != 1 ||
			got[0].Cause != "NOTE:1" {
			w.Errorf("handler was given %+v", got)
		}
		if note, outcome := w.Stored(contract.StreamNote), w.Stored(contract.StreamOutcome); note != 0 || outcome != 2 {
			w.Errorf("%d messages left in NOTE, %d outputs, want 0 and 2", note, outcome)
		}
	})
}

// "failed": the output cannot be stored, so the message must not be done.
func TestAMessageWhoseOutputsAreNotStoredIsRetried(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				subject := "nobody.stores.this"
				if seen.add(m) == 3 {
					subject = events.SubjectNoteFound
				}
				return []contract.Output{{Subject: subject, Data: []byte("x")}}, contract.Done()
			}})
		w.publish(contract.NoteMissingSubject("a"), "{}")
		time.Sleep(5 * time.Minute)
		if got := seen.all(); len(got) != 3 || got[2].Attempt != 3 {
			w.Errorf("handled %d times, want 3: %+v", len(got), got)
		}
		if note, outcome := w.Stored(contract.StreamNote), w.Stored(contract.StreamOutcome); note != 0 || outcome != 1 {
			w.Errorf("%d messages left in NOTE, %d outputs, want 0 and 1", note, outcome)
		}
	})
}

// "failed, but it happened": the outputs are stored, the ack is lost.
func TestAHandlerThatRunsTwicePublishesOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				out := []contract.Output{{Subject: events.SubjectNoteFound, Data: []byte("x")}}
				if seen.add(m) < 3 {
					return out, contract.Retry(time.Second, "once more")
				}
				return out, contract.Done()
			}})
		w.publish(contract.NoteMissingSubject("a"), "{}")
		time.Sleep(time.Minute)
		if n := len(seen.all()); n != 3 {
			w.Errorf("handled %d times, want 3", n)
		}
		if n := w.Stored(contract.StreamOutcome); n != 1 {
			w.Errorf("%d outputs stored, want 1", n)
		}
	})
}

func TestAPanicIsARetryWithItsText(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				if m.Key() == "once" && seen.add(m) == 2 {
					return nil, contract.Done()
				}
				panic("nil map")
			}})
		w.publish(contract.NoteMissingSubject("once"), "{}")
		last := nats.NewMsg("retry.fetcher.always")
		last.Header.Set("Relaymesh-Subject", contract.NoteMissingSubject("always"))
		last.Header.Set("Relaymesh-Attempt", "19")
		if _, err := w.JS.PublishMsg(context.Background(), last); err != nil {
			w.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := seen.all(); len(got) != 2 || got[1].Attempt != 2 {
			w.Errorf("handled %+v, want a second attempt", got)
		}
		dead := w.DeadLetters()
		if len(dead) != 1 || dead[0].Subject != contract.NoteMissingSubject("always") ||
			dead[0].Reason != "gave up after 20 attempts: panic: nil map" {
			w.Errorf("dead letters %+v", dead)
		}
	})
}

func TestStrangeHeadersHarmNobody(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		w.work(contract.StageIngest, handlers{contract.ConsumerIngest: seen.then(contract.Done())})
		msg := nats.NewMsg(events.SubjectEventReceived)
		msg.Header["Two-Values"] = []string{"a", "b"}
		msg.Header.Set("Relaymesh-Subject", "dlq.ingest")
		msg.Header.Set("Relaymesh-Attempt", "19")
		msg.Header.Set("Relaymesh-Cause", "forged")
		msg.Header.Set("Relaymesh-Correlation", strings.Repeat("x", 1000))
		if _, err := w.JS.PublishMsg(context.Background(), msg); err != nil {
			w.Fatal(err)
		}
		for _, attempt := range []string{"", "-1", "999999999999999999999", "x"} {
			msg := nats.NewMsg("retry.ingest.k" + token(attempt))
			msg.Header.Set("Relaymesh-Subject", events.SubjectAuthorSeen)
			msg.Header.Set("Relaymesh-Attempt", attempt)
			if _, err := w.JS.PublishMsg(context.Background(), msg); err != nil {
				w.Fatal(err)
			}
		}
		w.publish("retry.ingest.bare", "who am I")
		time.Sleep(time.Second)

		for _, c := range seen.all() {
			if c.Attempt != 1 || c.Cause == "forged" || (c.Subject != events.SubjectEventReceived && c.Subject != events.SubjectAuthorSeen) {
				w.Errorf("handler was given %+v", c)
			}
		}
		if n := len(seen.all()); n != 5 {
			w.Errorf("handled %d messages, want 5", n)
		}
		dead := w.DeadLetters()
		if len(dead) != 1 || dead[0].Subject != "retry.ingest.bare" || string(dead[0].Data) != "who am I" {
			w.Errorf("dead letters %+v, want the message that names no subject", dead)
		}
	})
}

func token(s string) string {
	if s == "" {
		return "empty"
	}
	return s
}

func TestCorrelationIsPassedOn(t *testing.T) {
	inWorld(t, func(w *world) {
		echo := func(subject string) contract.Handler {
			return func(context.Context, contract.Message) ([]contract.Output, contract.Verdict) {
				return []contract.Output{{Subject: subject, Data: []byte("x")}}, contract.Done()
			}
		}
		w.work(contract.StageIngest, handlers{contract.ConsumerIngest: echo(contract.NoteMissingSubject("a"))})
		w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: echo(events.SubjectNoteFound)})
		w.publish(events.SubjectEventReceived, "{}")
		time.Sleep(time.Second)
		s, err := w.JS.Stream(context.Background(), contract.StreamOutcome)
		if err != nil {
			w.Fatal(err)
		}
		msg, err := s.GetMsg(context.Background(), 1)
		if err != nil {
			w.Fatal(err)
		}
		if got := msg.Header.Get("Relaymesh-Correlation"); got != "INTAKE:1" {
			w.Errorf("correlation %q after two stages, want where the first message was stored", got)
		}
	})
}

func TestPublishOfASource(t *testing.T) {
	inWorld(t, func(w *world) {
		b, err := bus.New(w.JS, bus.Options{Stage: "cli"})
		if err != nil {
			w.Fatal(err)
		}
		out := contract.Output{Subject: events.SubjectNoteFound, Data: []byte("{}")}
		for range 3 {
			if err := b.Publish(context.Background(), out); err != nil {
				w.Fatal(err)
			}
		}
		if n := w.Stored(contract.StreamOutcome); n != 1 {
			w.Errorf("%d messages stored, want the same content once", n)
		}
		time.Sleep(11 * time.Minute)
		if err := b.Publish(context.Background(), out); err != nil {
			w.Fatal(err)
		}
		if n := w.Stored(contract.StreamOutcome); n != 2 {
			w.Errorf("%d messages stored, want another after the deduplication window", n)
		}
		if err := b.Publish(context.Background(), contract.Output{Subject: "nobody.stores.this"}); err == nil {
			w.Error("publishing where no stream listens succeeded")
		}
	})
}
