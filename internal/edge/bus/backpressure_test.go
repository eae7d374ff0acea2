package bus_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// edge is one edge of the pipeline: what a consumer makes of each message, and
// who takes that.
type edge struct {
	stage, consumer string
	in              func(key string) string // subject
	out             func(key string) string
	stream          string // of out
	reader, reads   string // stage and consumer
	waiting         bool   // bounded by what waits, not by bytes
}

func bare(subject string) func(string) string { return func(string) string { return subject } }

var edges = []edge{
	{
		contract.StageIngest, contract.ConsumerIngest, bare(events.SubjectEventReceived), contract.AuthorSeenSubject,
		contract.StreamAuthor, contract.StageDHTWorker, contract.ConsumerResolve, true,
	},
	{
		contract.StageIngest, contract.ConsumerIngest, bare(events.SubjectEventReceived), contract.RelayListSignedSubject,
		contract.StreamRelayList, contract.StageDHTWorker, contract.ConsumerPublish, false,
	},
	{
		contract.StageIngest, contract.ConsumerIngest, bare(events.SubjectEventReceived), contract.RelayDiscoveredSubject,
		contract.StreamRelay, contract.StageSyncWorker, contract.ConsumerDiscovered, false,
	},
	{
		contract.StageIngest, contract.ConsumerIngest, bare(events.SubjectEventReceived), contract.NoteMissingSubject,
		contract.StreamNote, contract.StageFetcher, contract.ConsumerFetch, false,
	},
	{
		contract.StageDHTWorker, contract.ConsumerResolve, contract.AuthorSeenSubject, contract.RelayDiscoveredSubject,
		contract.StreamRelay, contract.StageSyncWorker, contract.ConsumerDiscovered, false,
	},
	{
		contract.StageSyncWorker, contract.ConsumerDiscovered, contract.RelayDiscoveredSubject, contract.SyncDueSubject,
		contract.StreamSyncDue, contract.StageSyncWorker, contract.ConsumerSync, true,
	},
	{
		contract.StageSyncWorker, contract.ConsumerSync, contract.SyncDueSubject, contract.LiveDueSubject,
		contract.StreamLive, contract.StageSyncWorker, contract.ConsumerLive, false,
	},
	{
		contract.StageSyncWorker, contract.ConsumerSync, contract.SyncDueSubject, bare(events.SubjectEventReceived),
		contract.StreamIntake, contract.StageIngest, contract.ConsumerIngest, false,
	},
	{
		contract.StageFetcher, contract.ConsumerFetch, contract.NoteMissingSubject, bare(events.SubjectEventReceived),
		contract.StreamIntake, contract.StageIngest, contract.ConsumerIngest, false,
	},
}

const (
	load              = 60 // messages of a kilobyte, ten a second
	smallQueueBytes   = 15_000
	smallQueueWaiting = 10
	overshoots        = 12 // where publishers look, once a second
)

// Whoever takes the messages of a queue is stopped while the work goes on: the
// queue stays within its bound, who publishes to it waits, and nothing is lost or
// given up, however long that takes.
func TestAFullQueueSlowsDownAndLosesNothing(t *testing.T) {
	some, hours := []edge{edges[0], edges[3], edges[len(edges)-1]}, 10*time.Minute
	if os.Getenv("RELAYMESH_BACKPRESSURE") != "" { // make test-backpressure
		some, hours = edges, 3*time.Hour
	}
	for _, e := range some {
		t.Run(e.stage+" to "+e.stream, func(t *testing.T) {
			inWorld(t, func(w *world) {
				if e.waiting {
					t.Cleanup(bus.Bound(e.stream, 0, smallQueueWaiting))
				} else {
					w.limit(e.stream, smallQueueBytes)
				}
				made := func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
					key, _, _ := strings.Cut(string(m.Data), " ")
					return []contract.Output{{Subject: e.out(key), Data: m.Data}}, contract.Done()
				}
				metrics := prometheus.NewRegistry()
				w.metrics = metrics
				x := w.work(e.stage, handlers{e.consumer: made})
				for i := range load {
					key := fmt.Sprintf("%04d", i)
					w.publish(e.in(key), key+" "+strings.Repeat("x", 1000))
					time.Sleep(100 * time.Millisecond)
				}
				for range 5 {
					time.Sleep(10 * time.Second)
					if bytes, n := w.size(e.stream); !e.waiting && bytes > smallQueueBytes || e.waiting && n > smallQueueWaiting+overshoots {
						w.Fatalf("the queue holds %d bytes in %d messages", bytes, n)
					}
				}
				if n := w.Stored(e.stream); n < 8 {
					w.Fatalf("only %d messages got in: was it full?", n)
				}
				if text := gathered(t, metrics); !strings.Contains(text, e.stream) {
					w.Errorf("nobody is told to wait:\n%s", text)
				}
				// A shutdown does not wait for a free queue.
				stopped := time.Now()
				x.end(t)
				if took := time.Since(stopped); took > 2*time.Second {
					w.Errorf("a worker that waits for a free queue takes %s to stop", took)
				}
				w.metrics = nil
				w.work(e.stage, handlers{e.consumer: made})
				time.Sleep(hours)
				for _, l := range w.DeadLetters() {
					w.Errorf("after hours: dead letter %s: %s", l.Subject, l.Reason)
				}

				got := map[string]bool{}
				reader := handlers{e.reads: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
					w.mu.Lock()
					defer w.mu.Unlock()
					got[string(m.Data[:4])] = true
					return nil, contract.Done()
				}}
				if e.reader == e.stage { // it may be given what its other worker puts off
					reader[e.consumer] = made
				}
				w.work(e.reader, reader)
				time.Sleep(20 * time.Minute)
				w.mu.Lock()
				defer w.mu.Unlock()
				if len(got) != load {
					w.Errorf("%d of %d arrived", len(got), load)
				}
				if w.Stored(contract.StreamRetry) != 0 || w.Stored(e.stream) != 0 {
					w.Errorf("%d left to be retried, %d in the queue", w.Stored(contract.StreamRetry), w.Stored(e.stream))
				}
			})
		})
	}
}

// ingest waits for the fetcher's queue and the fetcher for ingest's: neither for
// ever.
func TestACycleOfFullQueuesGoesOn(t *testing.T) {
	inWorld(t, func(w *world) {
		w.limit(contract.StreamIntake, smallQueueBytes)
		w.limit(contract.StreamNote, smallQueueBytes)
		// Each event refers to two notes, down to the third generation.
		got := map[string]bool{}
		w.work(contract.StageIngest,
			handlers{contract.ConsumerIngest: func(_ context.Context, m contract.Message) (out []contract.Output, _ contract.Verdict) {
				key, rest, _ := strings.Cut(string(m.Data), " ")
				w.mu.Lock()
				got[key] = true
				w.mu.Unlock()
				for _, child := range []string{"a", "b"} {
					if len(key) < 6 {
						out = append(out, contract.Output{Subject: contract.NoteMissingSubject(key + child), Data: []byte(key + child + " " + rest)})
					}
				}
				return out, contract.Done()
			}})
		w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				return []contract.Output{{Subject: events.SubjectEventReceived, Data: m.Data}}, contract.Done()
			}})
		source := w.source()
		want := map[string]bool{}
		for i := range 20 {
			key := fmt.Sprintf("%03d", i)
			w.send(source, events.SubjectEventReceived, key+" "+strings.Repeat("x", 1000))
			for ring := []string{key}; len(ring) > 0 && len(ring[0]) < 7; {
				var next []string
				for _, k := range ring {
					want[k] = true
					next = append(next, k+"a", k+"b")
				}
				ring = next
			}
		}
		time.Sleep(time.Hour)
		w.mu.Lock()
		defer w.mu.Unlock()
		if !maps.Equal(got, want) {
			w.Errorf("%d of %d arrived", len(got), len(want))
		}
		for _, l := range w.DeadLetters() {
			w.Errorf("dead letter %s: %s", l.Subject, l.Reason)
		}
	})
}

// Of messages that wait for a retry there are no more than fit, either.
func TestRetriesHaveABoundToo(t *testing.T) {
	inWorld(t, func(w *world) {
		t.Cleanup(bus.Bound(contract.StreamRetry, smallQueueBytes, 0))
		verdict := contract.Retry(2*time.Hour, "later")
		seen := w.record()
		w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: seen.verdicts(func() contract.Verdict { return verdict })})
		for i := range 4 * load {
			w.publish(contract.NoteMissingSubject(strconv.Itoa(i)), strings.Repeat("x", 1000))
			time.Sleep(100 * time.Millisecond)
		}
		bytes, n := w.size(contract.StreamRetry)
		if bytes > smallQueueBytes+30*1500 || n == 0 {
			w.Errorf("%d bytes wait in %d messages", bytes, n)
		}
		if left := w.Stored(contract.StreamNote); left+n != 4*load {
			w.Errorf("%d wait in their queue and %d for a retry, want %d in all", left, n, 4*load)
		}
	})
}

// limit has the server bound a stream by so many bytes.
func (w *world) limit(stream string, bytes int64) {
	w.Helper()
	s, err := w.JS.Stream(context.Background(), stream)
	if err != nil {
		w.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.MaxBytes = bytes
	if _, err := w.JS.UpdateStream(context.Background(), c); err != nil {
		w.Fatal(err)
	}
}

func (w *world) size(stream string) (bytes, messages int) {
	w.Helper()
	s, err := w.JS.Stream(context.Background(), stream)
	if err != nil {
		w.Fatal(err)
	}
	return int(s.CachedInfo().State.Bytes), int(s.CachedInfo().State.Msgs)
}

// gathered is what a scrape tells of blocked publishes, where there are some.
func gathered(t *testing.T, g prometheus.Gatherer) string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "relaymesh_bus_blocked_publishes" && m.GetGauge().GetValue() > 0 {
				fmt.Fprintln(&text, m)
			}
		}
	}
	return text.String()
}

func TestMetricsTellHowFullStreamsAre(t *testing.T) {
	inWorld(t, func(w *world) {
		t.Cleanup(bus.Bound(contract.StreamAuthor, 0, 4))
		t.Cleanup(bus.Bound(contract.StreamRelayList, 10_000, 0))
		for i := range 3 {
			w.publish(contract.AuthorSeenSubject(strconv.Itoa(i)), "{}")
			w.publish(contract.RelayListSignedSubject(strconv.Itoa(i)), strings.Repeat("x", 2000))
		}
		metrics := prometheus.NewRegistry()
		if _, err := bus.New(w.JS, bus.Options{Stage: contract.StageDHTWorker, Registerer: metrics}); err != nil {
			w.Fatal(err)
		}
		families, err := metrics.Gather()
		if err != nil {
			w.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				got[f.GetName()+" "+m.GetLabel()[len(m.GetLabel())-1].GetValue()] = m.GetGauge().GetValue()
			}
		}
		bytes, _ := w.size(contract.StreamRelayList)
		for name, want := range map[string]float64{
			"relaymesh_stream_fill_ratio AUTHOR": 0.75, "relaymesh_stream_messages AUTHOR": 3,
			"relaymesh_stream_fill_ratio RELAYLIST": float64(bytes) / 10_000, "relaymesh_stream_limit_bytes RELAYLIST": 10_000,
			"relaymesh_stream_bytes RELAYLIST": float64(bytes),
		} {
			if got[name] != want || want == 0 {
				w.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
	})
}

// Waiting for room is no attempt, of which a message has only twenty.
func TestAFullQueueIsNoReasonToGiveUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.limit(contract.StreamIntake, 2000)
		w.publish(events.SubjectEventReceived, strings.Repeat("x", 1500))
		w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				if m.Attempt > 1 {
					w.Errorf("attempt %d", m.Attempt)
				}
				return []contract.Output{{Subject: events.SubjectEventReceived, Data: m.Data}}, contract.Done()
			}})
		w.publish(contract.NoteMissingSubject("a"), strings.Repeat("y", 1500))
		time.Sleep(30 * time.Minute)
		if n := w.Stored(contract.StreamNote) + w.Stored(contract.StreamRetry); n != 1 {
			w.Errorf("%d messages wait, want the one", n)
		}
	})
}
