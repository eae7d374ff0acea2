package bus_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// publishAll publishes one message for each of some texts, all at the same time.
func (w *world) publishAll(texts ...string) {
	w.Helper()
	for _, text := range texts {
		if _, err := w.JS.PublishAsync(events.SubjectEventReceived, []byte(text)); err != nil {
			w.Fatal(err)
		}
	}
	<-w.JS.PublishAsyncComplete()
}

func numbered(n int) (texts []string) {
	for i := range n {
		texts = append(texts, strconv.Itoa(i))
	}
	return texts
}

// prepared marks what it prepares.
func prepared(ms []*contract.Message) {
	for _, m := range ms {
		m.Prepared = "for " + string(m.Data)
	}
}

func TestMessagesThatComeTogetherArePreparedTogether(t *testing.T) {
	inWorld(t, func(w *world) {
		var sizes []int
		w.prepare = func(ms []*contract.Message) {
			w.mu.Lock()
			defer w.mu.Unlock()
			sizes = append(sizes, len(ms))
			prepared(ms)
		}
		seen := w.record()
		w.work(contract.StageIngest, handlers{contract.ConsumerIngest: seen.then(contract.Done())})
		time.Sleep(time.Second)
		for range 2 {
			w.publishAll("alone")
			time.Sleep(time.Millisecond) // in fake time, so it has waited for no other
			if got := seen.all(); len(got) == 0 || time.Since(w.start)-got[len(got)-1].at != time.Millisecond {
				w.Errorf("handled %+v, want the last a millisecond ago", got)
			}
			time.Sleep(time.Second)
		}
		w.publishAll(numbered(600)...)
		time.Sleep(time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		// The first comes alone; of the slots two were pulled for before.
		if want := []int{1, 1, 1, 599}; !slices.Equal(sizes, want) {
			w.Errorf("prepared %v together, want %v", sizes, want)
		}
		for _, call := range seen.all() {
			if call.Prepared != "for "+string(call.Data) {
				w.Errorf("%s has what was prepared %v", call.Data, call.Prepared)
			}
		}
	})
}

// The slots of a batch are given back.
func TestManyBatchesGoThrough(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		w.work(contract.StageIngest, handlers{contract.ConsumerIngest: seen.then(contract.Done())})
		w.publishAll(numbered(5000)...)
		time.Sleep(time.Second)
		if n, left := len(seen.all()), w.Stored(contract.StreamIntake); n != 5000 || left != 0 {
			w.Errorf("%d handled, %d left, want 5000 and none", n, left)
		}
	})
}

// Messages that keep coming, each soon after another, do not wait for ever.
func TestASlowTrickleIsHandledInTime(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		w.work(contract.StageIngest, handlers{contract.ConsumerIngest: seen.then(contract.Done())})
		for i := range 200 {
			w.publishAll(strconv.Itoa(i))
			time.Sleep(time.Millisecond)
			if got := len(seen.all()); got < i-25 {
				w.Fatalf("of %d messages in as many milliseconds %d are handled", i+1, got)
			}
		}
	})
}

// One that waits holds up none of those that came with it, and stays its worker's.
func TestAMessageThatWaitsKeepsNoOther(t *testing.T) {
	inWorld(t, func(w *world) {
		seen, ended := w.record(), w.record()
		slow := handlers{contract.ConsumerIngest: func(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
			seen.add(m)
			if n, _ := strconv.Atoi(string(m.Data)); n%10 == 5 {
				contract.Waits(ctx)
				contract.Waits(ctx)
				time.Sleep(20 * time.Minute)
			}
			ended.add(m)
			return nil, contract.Done()
		}}
		w.work(contract.StageIngest, slow)
		w.work(contract.StageIngest, slow)
		w.publishAll(numbered(100)...)
		time.Sleep(time.Second)
		if n, left := len(ended.all()), w.Stored(contract.StreamIntake); n != 90 || left != 10 {
			w.Errorf("%d handled, %d left, want 90 and 10", n, left)
		}
		time.Sleep(time.Hour)
		if n, left := len(ended.all()), w.Stored(contract.StreamIntake); n != 100 || left != 0 {
			w.Errorf("in the end %d handled, %d left, want 100 and none", n, left)
		}
		if n := len(seen.all()); n != 100 {
			w.Errorf("100 messages were delivered %d times", n)
		}
	})
}

// So does one whose outputs, or dead letter, wait to be stored.
func TestAMessageWhoseEndWaitsKeepsNoOther(t *testing.T) {
	for name, end := range map[string]func() ([]contract.Output, contract.Verdict){
		contract.StreamNote: func() ([]contract.Output, contract.Verdict) {
			return []contract.Output{{Subject: contract.NoteMissingSubject("a"), Data: []byte("{}")}}, contract.Done()
		},
		contract.StreamDLQ: func() ([]contract.Output, contract.Verdict) { return nil, contract.Reject("bad") },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				if err := w.JS.DeleteStream(context.Background(), name); err != nil {
					w.Fatal(err)
				}
				seen := w.record()
				w.work(contract.StageIngest,
					handlers{contract.ConsumerIngest: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
						if seen.add(m); string(m.Data) == "50" {
							return end()
						}
						return nil, contract.Done()
					}})
				w.publishAll(numbered(100)...)
				time.Sleep(100 * time.Millisecond) // the client library tries again after 250
				if n, left := len(seen.all()), w.Stored(contract.StreamIntake); n != 100 || left != 1 {
					w.Errorf("%d handled, %d left, want 100 and 1", n, left)
				}
			})
		})
	}
}

// What is bad ends alone, however it shows.
func TestABadMessageEndsAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		var calm atomic.Bool
		w.prepare = func(ms []*contract.Message) {
			if prepared(ms); !calm.Load() {
				panic("what a batch")
			}
		}
		seen := w.record()
		kept, provider := recorder()
		w.traces = provider
		w.work(contract.StageIngest,
			handlers{contract.ConsumerIngest: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				seen.add(m)
				switch {
				case string(m.Data) == "7":
					return nil, contract.Reject("seven")
				case string(m.Data) == "8" && m.Attempt == 1:
					panic("eight")
				case string(m.Data) == "9" && m.Attempt == 1:
					return nil, contract.Retry(time.Second, "nine")
				}
				return nil, contract.Done()
			}})
		for round := range 2 {
			w.publishAll(numbered(100)...)
			time.Sleep(50 * time.Millisecond)
			if left := w.Stored(contract.StreamIntake); left != 2 {
				w.Errorf("round %d: %d left at once, want the two that are tried again", round, left)
			}
			time.Sleep(time.Minute)
			if n, left := len(seen.all()), w.Stored(contract.StreamIntake); n != (round+1)*102 || left != 0 {
				w.Errorf("round %d: handled %d times, %d left, want 102 for each round and none", round, n, left)
			}
			if dead := w.DeadLetters(); len(dead) != round+1 || string(dead[round].Data) != "7" || dead[round].Reason != "seven" {
				w.Errorf("round %d: dead letters %+v", round, dead)
			}
			calm.Store(true)
		}
		for i, call := range seen.all() { // those of the first round were not prepared
			if (call.Prepared != nil) != (i >= 102) {
				w.Errorf("call %d of %s: prepared %v", i, call.Data, call.Prepared)
			}
		}
		verdicts := map[string]int{}
		for _, s := range named(kept, "process event.received") {
			verdicts[attr(s, bus.AttrVerdict).AsString()]++
		}
		if got := fmt.Sprint(verdicts); got != "map[done:198 reject:2 retry:4]" {
			w.Errorf("spans by verdict: %s", got)
		}
	})
}

func TestBatchesOfADeadWorkerGoToAnother(t *testing.T) {
	inWorld(t, func(w *world) {
		hung := make(chan struct{})
		first := w.record()
		x := w.work(contract.StageIngest,
			handlers{contract.ConsumerIngest: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				if first.add(m) > 10 {
					<-hung
				}
				return nil, contract.Done()
			}})
		w.publishAll(numbered(100)...)
		time.Sleep(time.Second)
		x.kill()
		next := w.record()
		w.work(contract.StageIngest, handlers{contract.ConsumerIngest: next.then(contract.Done())})
		time.Sleep(35 * time.Second)
		if n, left := len(next.all()), w.Stored(contract.StreamIntake); n != 90 || left != 0 {
			w.Errorf("%d handled by another, %d left, want the 90 that were not and none", n, left)
		}
		close(hung)
	})
}

// Each message that waits has a slot, and no more are asked for than there are.
func TestBatchesAreBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		c := consumer(w.T, contract.ConsumerIngest)
		running := make(chan struct{}, 10_000)
		w.work(contract.StageIngest,
			handlers{contract.ConsumerIngest: func(ctx context.Context, _ contract.Message) ([]contract.Output, contract.Verdict) {
				contract.Waits(ctx)
				running <- struct{}{}
				time.Sleep(time.Minute)
				<-running
				return nil, contract.Done()
			}})
		w.publishAll(numbered(3 * c.InFlight)...)
		time.Sleep(10 * time.Second)
		for range 3 {
			info, err := w.JS.Consumer(context.Background(), c.Stream, c.Name)
			if err != nil {
				w.Fatal(err)
			}
			if n, out := len(running), info.CachedInfo().NumAckPending; n != c.InFlight || out != c.InFlight {
				w.Errorf("%d handlers run at a time, %d messages are out, want %d", n, out, c.InFlight)
			}
			time.Sleep(time.Minute)
		}
		if left := w.Stored(contract.StreamIntake); left != 0 {
			w.Errorf("%d left", left)
		}
	})
}

// What was gathered when a stop comes is not left until AckWait has run out.
func TestAStopHandlesWhatWasGathered(t *testing.T) {
	inWorld(t, func(w *world) {
		end := make(chan struct{})
		x := w.work(contract.StageIngest,
			handlers{contract.ConsumerIngest: func(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				if string(m.Data) != "0" {
					contract.Waits(ctx)
					<-end
				}
				return nil, contract.Done()
			}})
		// One is handled, 201 are in work, and what is pulled for besides is gathered.
		w.publishAll(numbered(201)...)
		time.Sleep(time.Second)
		w.publishAll(numbered(consumer(w.T, contract.ConsumerIngest).Largest - 201)[1:]...)
		w.publishAll("last")
		time.Sleep(time.Millisecond)
		x.stop()
		time.Sleep(time.Second)
		close(end)
		x.end(w.T)
		time.Sleep(time.Millisecond)
		if left := w.Stored(contract.StreamIntake); left != 0 {
			w.Errorf("%d left", left)
		}
	})
}

func TestStoppingAmongBatchesLosesAndDoublesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		const sent = 9000
		w.publishAll(numbered(sent)...)
		done := tally{n: map[string]int{}}
		handler := func(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
			if n, _ := strconv.Atoi(string(m.Data)); n%3 == 0 {
				contract.Waits(ctx)
				time.Sleep(time.Duration(n%7) * 20 * time.Millisecond)
			} else {
				time.Sleep(time.Millisecond)
			}
			done.mu.Lock()
			defer done.mu.Unlock()
			done.n[string(m.Data)]++
			return nil, contract.Done()
		}
		for i := range 5 { // workers come and go
			x := w.work(contract.StageIngest, handlers{contract.ConsumerIngest: handler})
			time.Sleep(time.Duration(1+7*i) * time.Millisecond)
			x.end(w.T)
			time.Sleep(time.Millisecond) // the server takes acks one by one
			if got, left := done.keys(), w.Stored(contract.StreamIntake); got+left != sent {
				w.Errorf("stop %d: %d handled + %d left, want %d", i, got, left, sent)
			}
		}
		if got := done.keys(); got == 0 || got == sent {
			w.Fatalf("%d of %d handled: the test stopped nobody under load", got, sent)
		}
		w.work(contract.StageIngest, handlers{contract.ConsumerIngest: handler})
		time.Sleep(20 * time.Second) // less than AckWait: nothing was lost on its way
		if got, left := done.keys(), w.Stored(contract.StreamIntake); got != sent || left != 0 {
			w.Errorf("%d handled, %d left, want all %d", got, left, sent)
		}
		if twice := done.twice(); len(twice) > 0 {
			w.Errorf("handled twice: %v", twice)
		}
	})
}
