package bus_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
)

// perSecond counts the calls in the interval by the second in which they came.
func perSecond(list []call, from, to time.Duration) (perKey map[string]int, most int) {
	perKey, second := map[string]int{}, map[time.Duration]int{}
	for _, c := range list {
		if c.at >= from && c.at < to {
			perKey[c.Key()]++
			second[c.at/time.Second]++
		}
	}
	for _, n := range second {
		most = max(most, n)
	}
	return perKey, most
}

func TestEverySliceIsDueOncePerIntervalAndSpreadAlsoAfterAnOutage(t *testing.T) {
	inWorld(t, func(w *world) {
		provision := func() {
			if _, err := bus.Provision(context.Background(), w.JS, bus.ProvisionOptions{RefreshEvery: time.Hour}); err != nil {
				w.Fatal(err)
			}
		}
		provision()
		seen := w.record()
		work := func() *worker {
			return w.work(contract.StageDHTWorker, handlers{contract.ConsumerRefresh: seen.then(contract.Done())})
		}
		check := func(what string, from, to time.Duration) {
			w.Helper()
			keys, most := perSecond(seen.all(), from, to)
			for key, n := range keys {
				if n != 1 {
					w.Errorf("%s: slice %s was due %d times in one interval", what, key, n)
				}
			}
			if len(keys) != 256 || most > 8 {
				w.Errorf("%s: %d slices were due, at most %d in one second; want 256, spread", what, len(keys), most)
			}
		}
		x := work()
		// An hour from within a minute on: at the full hour a schedule fires a
		// moment earlier or later than the test begins.
		const settle = 10 * time.Second
		time.Sleep(settle + time.Hour)
		check("first hour", settle, settle+time.Hour)
		x.end(w.T)

		// Everything down for three hours; then provisioned again, as every
		// start does.
		w.Restart(3 * time.Hour)
		provision()
		x = work()
		back := time.Since(w.start)
		time.Sleep(time.Minute)
		if keys, _ := perSecond(seen.all(), back, back+time.Minute); len(keys) != 256 {
			w.Errorf("after the outage %d slices were caught up, want 256", len(keys))
		}
		time.Sleep(2 * time.Hour)
		check("second hour after the outage", back+time.Hour, back+2*time.Hour)
		x.end(w.T)
	})
}

func TestASlowWorkerSeesOneDueMessagePerKey(t *testing.T) {
	inWorld(t, func(w *world) {
		cron, err := contract.Cron("relay", 10*time.Second)
		if err != nil {
			w.Fatal(err)
		}
		due := contract.Output{Subject: contract.SyncDueSubject("relay"), Data: []byte("{}"), Cron: cron}
		if err := w.source().Publish(context.Background(), due); err != nil {
			w.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if n := w.Stored(contract.StreamSyncDue); n != 2 {
			w.Errorf("%d messages after ten minutes without a worker, want the schedule and one due", n)
		}
		seen := w.record()
		w.work(contract.StageSyncWorker, handlers{contract.ConsumerSync: seen.then(contract.Done())})
		time.Sleep(5 * time.Second)
		if n := len(seen.all()); n != 1 && n != 2 { // the waiting one, and perhaps the next
			w.Errorf("handled %d, want the one that waited", n)
		}
	})
}

// A handler may set the same schedule every time it runs: that must neither
// move nor swallow a firing.
func TestSettingTheSameScheduleAgainChangesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		cron, err := contract.Cron("relay", time.Hour)
		if err != nil {
			w.Fatal(err)
		}
		due := contract.Output{Subject: contract.SyncDueSubject("relay"), Data: []byte("{}"), Cron: cron}
		seen := w.record()
		w.work(contract.StageSyncWorker,
			handlers{contract.ConsumerDiscovered: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				out := due
				if string(m.Data) == "changed" {
					out.Data = m.Data
				}
				return []contract.Output{out}, contract.Done()
			}, contract.ConsumerSync: seen.then(contract.Done())})
		b := w.source()
		sequence := func() uint64 {
			s, err := w.JS.Stream(context.Background(), contract.StreamSyncDue)
			if err != nil {
				w.Fatal(err)
			}
			msg, err := s.GetLastMsgForSubject(context.Background(), contract.PrefixSchedule+due.Subject)
			if err != nil {
				w.Fatal(err)
			}
			return msg.Sequence
		}
		w.send(b, contract.RelayDiscoveredSubject("relay"), "first")
		time.Sleep(time.Second)
		first := sequence()
		for range 36 {
			time.Sleep(5 * time.Minute)
			w.send(b, contract.RelayDiscoveredSubject("relay"), time.Now().String())
		}
		if now := sequence(); now != first {
			w.Errorf("the schedule was stored again, as %d after %d", now, first)
		}
		if n := len(seen.all()); n != 3 {
			w.Errorf("due %d times in three hours, want 3", n)
		}
		time.Sleep(time.Second) // else the one before may still be at work
		w.send(b, contract.RelayDiscoveredSubject("relay"), "changed")
		time.Sleep(time.Hour + time.Minute)
		if got := seen.all(); sequence() == first || string(got[len(got)-1].Data) != "changed" {
			w.Errorf("another body did not replace the schedule")
		}

		before := len(seen.all())
		due.Cron = contract.CronNever
		for range 2 { // the second time there is none
			if err := b.Publish(context.Background(), due); err != nil {
				w.Fatal(err)
			}
		}
		time.Sleep(3 * time.Hour)
		if n := len(seen.all()); n != before || w.Stored(contract.StreamSyncDue) != 0 {
			w.Errorf("due %d times without a schedule, %d messages are left", n-before, w.Stored(contract.StreamSyncDue))
		}
	})
}

// asked counts the questions for streams.
type asked struct {
	jetstream.JetStream
	streams atomic.Int64
}

func (a *asked) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	a.streams.Add(1)
	return a.JetStream.Stream(ctx, name)
}

// A handler sets a schedule with most of its messages: the stream is asked for once, and again when it
// was not there.
func TestAScheduleAsksForItsStreamOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		js := &asked{JetStream: w.JS}
		b, err := bus.New(js, bus.Options{Stage: contract.StageSyncWorker})
		if err != nil {
			w.Fatal(err)
		}
		set := func(relay string) error {
			cron, _ := contract.Cron(relay, time.Hour)
			return b.Publish(w.Context(), contract.Output{Subject: contract.SyncDueSubject(relay), Data: []byte("{}"), Cron: cron})
		}
		before := js.streams.Load()
		for _, relay := range []string{"one", "one", "another"} {
			if err := set(relay); err != nil {
				w.Fatal(err)
			}
		}
		if n := js.streams.Load() - before; n != 1 {
			w.Errorf("three schedules asked for their stream %d times", n)
		}
		if err := w.JS.DeleteStream(w.Context(), contract.StreamSyncDue); err != nil {
			w.Fatal(err)
		}
		_ = set("one")
		if err := set("one"); !errors.Is(err, jetstream.ErrStreamNotFound) {
			w.Errorf("without a stream: %v", err)
		}
		if _, err := bus.Provision(w.Context(), w.JS, bus.ProvisionOptions{}); err != nil {
			w.Fatal(err)
		}
		if err := set("one"); err != nil || w.Stored(contract.StreamSyncDue) != 1 {
			w.Errorf("made again: %v, and holds %d schedules", err, w.Stored(contract.StreamSyncDue))
		}
	})
}
