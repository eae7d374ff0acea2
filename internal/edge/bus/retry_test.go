package bus_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
)

func TestTheMessageOfADeadWorkerGoesToAnotherAfterAckWait(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		var first *worker
		hang := func(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
			seen.add(m)
			first.kill()
			<-ctx.Done()
			return nil, contract.Done()
		}
		ready := make(chan struct{})
		first = w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				<-ready
				return hang(ctx, m)
			}})
		close(ready)
		w.publish(contract.NoteMissingSubject("a"), "{}")
		if err := <-first.done; !errors.Is(err, jetstream.ErrConnectionClosed) {
			w.Errorf("a worker without connection ended with %v", err)
		}
		w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: seen.then(contract.Done())})
		time.Sleep(time.Minute)
		got := seen.all()
		if len(got) != 2 || got[1].Attempt != 2 || got[1].Cause != got[0].Cause || got[1].at < 30*time.Second || got[1].at > 31*time.Second {
			w.Errorf("handled %+v, want again by the other worker after 30 s", got)
		}
	})
}

func TestHeartbeatsKeepALongHandlerSingle(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		long := handlers{contract.ConsumerFetch: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
			seen.add(m)
			time.Sleep(20 * time.Minute)
			return nil, contract.Done()
		}}
		w.work(contract.StageFetcher, long)
		w.work(contract.StageFetcher, long)
		w.publish(contract.NoteMissingSubject("a"), "{}")
		time.Sleep(time.Hour)
		if n, left := len(seen.all()), w.Stored(contract.StreamNote); n != 1 || left != 0 {
			w.Errorf("handled %d times, %d left, want once and none", n, left)
		}
	})
}

// More messages than slots, each longer than AckWait: what waits for a slot
// must not be delivered to anyone meanwhile.
func TestNoMessageWaitsInAWorkerWithoutASlot(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		c := consumer(w.T, contract.ConsumerRefresh)
		w.work(contract.StageDHTWorker,
			handlers{contract.ConsumerRefresh: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				seen.add(m)
				time.Sleep(3 * c.AckWait)
				return nil, contract.Done()
			}})
		n := 5 * c.InFlight
		for i := range n {
			w.publish(contract.RecordDueSubject(strconv.Itoa(i)), "{}")
		}
		time.Sleep(time.Hour)
		for _, call := range seen.all() {
			if call.Attempt != 1 {
				w.Errorf("%s was delivered %d times", call.Subject, call.Attempt)
			}
		}
		if got := len(seen.all()); got != n {
			w.Errorf("handled %d of %d", got, n)
		}
	})
}

func TestInFlightIsBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		c := consumer(w.T, contract.ConsumerRefresh)
		running := make(chan struct{}, 100)
		w.work(contract.StageDHTWorker,
			handlers{contract.ConsumerRefresh: func(context.Context, contract.Message) ([]contract.Output, contract.Verdict) {
				running <- struct{}{}
				time.Sleep(time.Minute)
				<-running
				return nil, contract.Done()
			}})
		for i := range 3 * c.InFlight {
			w.publish(contract.RecordDueSubject(strconv.Itoa(i)), "{}")
		}
		time.Sleep(10 * time.Second)
		for range 5 {
			if n := len(running); n != c.InFlight {
				w.Errorf("%d handlers run at a time, want %d", n, c.InFlight)
			}
			time.Sleep(20 * time.Second)
		}
		time.Sleep(5 * time.Minute)
	})
}

func TestRetriesWaitLongerEachTime(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				if seen.add(m) == 9 {
					return nil, contract.Done()
				}
				return nil, contract.Retry(5*time.Second, "relay is down")
			}})
		w.publish(contract.NoteMissingSubject("a"), `{"event_id":"a"}`)
		time.Sleep(3 * time.Hour)
		got := seen.all()
		if len(got) != 9 {
			w.Fatalf("handled %d times, want 9", len(got))
		}
		want := 5 * time.Second
		for i := 1; i < len(got); i++ {
			gap := got[i].at - got[i-1].at
			// Schedules count in whole seconds.
			if low, high := want*3/4-time.Second, want*5/4+2*time.Second; gap < low || gap > high {
				w.Errorf("wait %d is %s, want %s to %s", i, gap, low, high)
			}
			want *= 2
			if m := got[i]; m.Attempt != i+1 || m.Subject != got[0].Subject || m.Cause != got[0].Cause || string(m.Data) != `{"event_id":"a"}` {
				w.Errorf("attempt %d was given %+v", i+1, m)
			}
		}
		if n := w.Stored(contract.StreamNote) + w.Stored(contract.StreamRetry); n != 0 {
			w.Errorf("%d messages left behind", n)
		}
	})
}

func TestALongWaitOccupiesNoSlotOfTheConsumer(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: seen.then(contract.Retry(30*time.Minute, "relay asks for patience"))})
		w.publish(contract.NoteMissingSubject("a"), "{}")
		time.Sleep(time.Minute)
		c, err := w.JS.Consumer(context.Background(), contract.StreamNote, contract.ConsumerFetch)
		if err != nil {
			w.Fatal(err)
		}
		if pending := c.CachedInfo().NumAckPending; pending != 0 || w.Stored(contract.StreamNote) != 0 {
			w.Errorf("%d waiting acks, %d messages in NOTE, want none", pending, w.Stored(contract.StreamNote))
		}
		if n := w.Stored(contract.StreamRetry); n != 1 {
			w.Errorf("%d messages wait in RETRY, want 1", n)
		}
		time.Sleep(40 * time.Minute)
		if got := seen.all(); len(got) != 2 || got[1].Attempt != 2 {
			w.Errorf("handled %+v, want a second attempt after half an hour", got)
		}
	})
}

// The stage is down when a scheduled retry falls due, and so is the server.
func TestAScheduledRetrySurvivesARestart(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		x := w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: seen.then(contract.Retry(10*time.Minute, "later"))})
		w.publish(contract.NoteMissingSubject("a"), "{}")
		time.Sleep(time.Minute)
		x.end(w.T)
		w.Restart(time.Hour)
		w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: seen.then(contract.Done())})
		time.Sleep(time.Minute)
		if got := seen.all(); len(got) != 2 || got[1].Attempt != 2 || got[1].Cause != got[0].Cause {
			w.Errorf("handled %+v, want the overdue retry once", got)
		}
	})
}

func TestRejectAndTooManyAttemptsBecomeDeadLetters(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				if m.Key() == "bad" {
					return nil, contract.Reject("event_id: not 64 hex digits")
				}
				seen.add(m)
				return nil, contract.Retry(10*time.Second, "relay is down")
			}})
		w.publish(contract.NoteMissingSubject("bad"), "x")
		w.publish(contract.NoteMissingSubject("stubborn"), "y")
		time.Sleep(18 * time.Hour)
		if n := len(seen.all()); n != contract.MaxAttempts {
			w.Errorf("handled %d times, want %d", n, contract.MaxAttempts)
		}
		dead := w.DeadLetters()
		if len(dead) != 2 {
			w.Fatalf("dead letters %+v, want two", dead)
		}
		if l := dead[0]; l.Stage != contract.StageFetcher || l.Subject != contract.NoteMissingSubject("bad") || string(l.Data) != "x" ||
			l.Reason != "event_id: not 64 hex digits" || l.Attempts != 1 || l.Time != w.start.Unix() {
			w.Errorf("dead letter of a reject: %+v", l)
		}
		if l := dead[1]; l.Subject != contract.NoteMissingSubject("stubborn") || string(l.Data) != "y" ||
			l.Reason != "gave up after 20 attempts: relay is down" || l.Attempts != contract.MaxAttempts {
			w.Errorf("dead letter after too many attempts: %+v", l)
		}
		if n := w.Stored(contract.StreamNote) + w.Stored(contract.StreamRetry); n != 0 {
			w.Errorf("%d messages left behind", n)
		}
	})
}

func TestAMessageThatKillsItsWorkersBecomesADeadLetter(t *testing.T) {
	inWorld(t, func(w *world) {
		w.publish(contract.NoteMissingSubject("poison"), "p")
		c, err := w.JS.Consumer(context.Background(), contract.StreamNote, contract.ConsumerFetch)
		if err != nil {
			w.Fatal(err)
		}
		for range contract.MaxDeliver { // each is a worker that dies with it
			if _, err := c.Next(jetstream.FetchMaxWait(time.Minute)); err != nil {
				w.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if n := w.Stored(contract.StreamAdvisories); n != 0 {
			w.Errorf("%d advisories although nobody asked for the message again", n)
		}
		seen := w.record()
		w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: seen.then(contract.Done())})
		time.Sleep(time.Minute)
		if n := len(seen.all()); n != 0 {
			w.Errorf("handled %d times, want never again", n)
		}
		dead := w.DeadLetters()
		if len(dead) != 1 || dead[0].Subject != contract.NoteMissingSubject("poison") || string(dead[0].Data) != "p" ||
			dead[0].Attempts != contract.MaxDeliver || !strings.Contains(dead[0].Reason, "60 times") {
			w.Errorf("dead letters %+v", dead)
		}
		if n := w.Stored(contract.StreamNote); n != 0 {
			w.Errorf("%d messages left in NOTE, want the dead one removed", n)
		}
	})
}

// The largest message that JetStream takes must still become a dead letter.
func TestADeadLetterOfTheLargestMessageFits(t *testing.T) {
	inWorld(t, func(w *world) {
		w.work(contract.StageIngest, handlers{contract.ConsumerIngest: w.record().then(contract.Reject("too large"))})
		w.publish(events.SubjectEventReceived, strings.Repeat("x", 1<<20-100))
		time.Sleep(time.Minute)
		dead := w.DeadLetters()
		if len(dead) != 1 || len(dead[0].Data) < 1<<19 || !strings.Contains(dead[0].Reason, "too large (kept the first") {
			w.Fatalf("%d dead letters", len(dead))
		}
		if n := w.Stored(contract.StreamIntake); n != 0 {
			w.Errorf("%d messages left", n)
		}
	})
}

func TestAnOutputThatCanNeverBePublishedIsADeadLetterAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(context.Context, contract.Message) ([]contract.Output, contract.Verdict) {
				return []contract.Output{{Subject: events.SubjectNoteFound, Data: make([]byte, 2<<20)}}, contract.Done()
			}})
		w.publish(contract.NoteMissingSubject("a"), "{}")
		time.Sleep(time.Minute)
		if dead := w.DeadLetters(); len(dead) != 1 || !strings.Contains(dead[0].Reason, "maximum payload") {
			w.Errorf("dead letters %+v", dead)
		}
	})
}
