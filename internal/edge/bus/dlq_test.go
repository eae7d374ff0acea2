package bus_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func (w *world) selectedDeadLetters(which bus.DeadLetterFilter) (list []bus.DeadLetter) {
	w.Helper()
	l, err := bus.OpenDLQ(w.Context(), w.JS)
	if err != nil {
		w.Fatal(err)
	}
	for dead, err := range l.Each(w.Context(), which) {
		if err != nil {
			w.Fatal(err)
		}
		list = append(list, dead)
	}
	return list
}

func TestARetriedDeadLetterGoesBackToItsStageAndKeepsItsHistory(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: seen.then(contract.Reject("no such note"))})
		w.publish(contract.NoteMissingSubject("a"), "note a")
		synctest.Wait()
		l, err := bus.OpenDLQ(w.Context(), w.JS)
		if err != nil {
			w.Fatal(err)
		}
		for round := 1; round <= 3; round++ {
			list := w.selectedDeadLetters(bus.DeadLetterFilter{})
			if len(list) != 1 || len(list[0].History) != round-1 {
				w.Fatalf("round %d: dead letters are %+v", round, list)
			}
			time.Sleep(time.Hour)
			if err := l.Retry(w.Context(), list[0]); err != nil {
				w.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		calls := seen.all()
		if len(calls) != 4 {
			w.Fatalf("handled %d times, want 4", len(calls))
		}
		for i, c := range calls {
			// Not the first again, which a stage may take for done.
			if c.Subject != contract.NoteMissingSubject("a") || string(c.Data) != "note a" || c.Attempt != min(i+1, 2) {
				w.Errorf("handled %s %q attempt %d", c.Subject, c.Data, c.Attempt)
			}
		}
		last := w.selectedDeadLetters(bus.DeadLetterFilter{})[0]
		for i, death := range last.History {
			if death.Reason != "no such note" || death.Attempts != min(i+1, 2) || i > 0 && death.Time <= last.History[i-1].Time {
				w.Errorf("death %d is %+v", i, death)
			}
		}
	})
}

func TestEachEndsAlthoughDeadLettersComeBack(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := w.record()
		w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: seen.then(contract.Reject("no such note"))})
		w.publish(contract.NoteMissingSubject("a"), "note a")
		w.publish(contract.NoteMissingSubject("b"), "note b")
		synctest.Wait()
		l, err := bus.OpenDLQ(w.Context(), w.JS)
		if err != nil {
			w.Fatal(err)
		}
		for _, which := range []bus.DeadLetterFilter{{}, {Stage: contract.StageFetcher}} {
			retried := 0
			for dead, err := range l.Each(w.Context(), which) {
				if err := errors.Join(err, l.Retry(w.Context(), dead)); err != nil {
					w.Fatal(err)
				}
				synctest.Wait() // it is a dead letter again
				if retried++; retried > 2 {
					break
				}
			}
			if left := len(w.selectedDeadLetters(which)); retried != 2 || left != 2 {
				w.Errorf("%+v: retried %d dead letters, %d are there, want 2", which, retried, left)
			}
		}
	})
}

func TestHistorySurvivesALongWait(t *testing.T) {
	inWorld(t, func(w *world) {
		verdict := contract.Reject("first")
		seen := w.record()
		w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: seen.verdicts(func() contract.Verdict { return verdict })})
		w.publish(contract.NoteMissingSubject("a"), "x")
		synctest.Wait()
		l, err := bus.OpenDLQ(w.Context(), w.JS)
		if err != nil {
			w.Fatal(err)
		}
		verdict = contract.Retry(10*time.Minute, "not now")
		if err := l.Retry(w.Context(), w.selectedDeadLetters(bus.DeadLetterFilter{})[0]); err != nil {
			w.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait() // for who reads the verdict
		verdict = contract.Reject("second")
		time.Sleep(time.Hour)
		list := w.selectedDeadLetters(bus.DeadLetterFilter{})
		if len(list) != 1 || list[0].Reason != "second" || list[0].Attempts != 3 || len(list[0].History) != 1 ||
			list[0].History[0].Reason != "first" {
			w.Errorf("dead letters are %+v", list)
		}
	})
}

func TestDeadLettersAreSelected(t *testing.T) {
	inWorld(t, func(w *world) {
		start := time.Now()
		put := func(stage, reason string, size int) {
			w.publish(contract.DLQSubject(stage),
				string(nostr.Encode(contract.DeadLetter{Stage: stage, Reason: reason, Time: time.Now().Unix(), Size: size})))
			time.Sleep(time.Hour)
		}
		put(contract.StageIngest, "Bad signature", 0)                             // 1
		put(contract.StageFetcher, "bad timing", 0)                               // 2
		put(contract.StageFetcher, "relay is gone", 9)                            // 3
		w.publish(contract.DLQSubject(contract.StageIngest), "not a dead letter") // 4
		l, err := bus.OpenDLQ(w.Context(), w.JS)
		if err != nil {
			w.Fatal(err)
		}
		for _, try := range []struct {
			which bus.DeadLetterFilter
			want  []uint64
		}{
			{bus.DeadLetterFilter{}, []uint64{1, 2, 3}},
			{bus.DeadLetterFilter{Stage: contract.StageFetcher}, []uint64{2, 3}},
			{bus.DeadLetterFilter{Reason: "BAD"}, []uint64{1, 2}},
			{bus.DeadLetterFilter{Since: start.Add(90 * time.Minute)}, []uint64{3}},
			{bus.DeadLetterFilter{Seqs: []uint64{3, 1}}, []uint64{3, 1}},
			{bus.DeadLetterFilter{Seqs: []uint64{3, 1}, Stage: contract.StageIngest}, []uint64{1}},
		} {
			var got []uint64
			for dead, err := range l.Each(w.Context(), try.which) {
				switch {
				case err == nil:
					got = append(got, dead.Seq)
				case dead.Seq != 4:
					w.Errorf("%+v: %v", try.which, err)
				}
			}
			if !slices.Equal(got, try.want) {
				w.Errorf("%+v selects %v, want %v", try.which, got, try.want)
			}
		}
		for _, err := range l.Each(w.Context(), bus.DeadLetterFilter{Seqs: []uint64{99}}) {
			if err == nil || !strings.Contains(err.Error(), "dead letter 99") {
				w.Errorf("a dead letter that is not there: %v", err)
			}
		}
		for dead, err := range l.Each(w.Context(), bus.DeadLetterFilter{Seqs: []uint64{3}}) {
			if err := errors.Join(err, l.Retry(w.Context(), dead)); !errors.Is(err, bus.ErrCut) {
				w.Errorf("retry of a cut dead letter: %v", err)
			}
			if err := l.Drop(w.Context(), dead); err != nil {
				w.Error(err)
			}
			if err := l.Drop(w.Context(), dead); err != nil {
				w.Errorf("second drop: %v", err)
			}
		}
		if n := w.Stored(contract.StreamDLQ); n != 3 {
			w.Errorf("%d dead letters left, want 3", n)
		}
	})
}
