package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// bounded starts the server again with storage for so many bytes in all.
func (w *world) bounded(bytes int64) {
	w.Helper()
	w.JS.Conn().Close()
	w.Server.Close()
	var err error
	if w.Server, err = natsd.Start(natsd.Config{Dir: w.Dir, SyncInterval: 1000 * time.Hour, MaxStore: bytes}); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(w.Server.Close)
	w.JS = natstest.Connect(w.T, w.Server)
}

// fill has a bucket grow until the server has no storage left; the function that
// it returns frees some.
func (w *world) fill() (drop func()) {
	w.Helper()
	ctx := context.Background()
	for i := 0; ; i++ {
		_, err := w.JS.Publish(ctx, fmt.Sprintf("$KV.%s.%d", contract.BucketLinks, i), make([]byte, 10_000))
		if api := (*jetstream.APIError)(nil); errors.As(err, &api) {
			w.Logf("full: %v", err)
			break
		} else if err != nil {
			w.Fatal(err)
		}
	}
	return func() {
		s, err := w.JS.Stream(ctx, "KV_"+contract.BucketLinks)
		if err == nil {
			err = s.Purge(ctx)
		}
		if err != nil {
			w.Fatal(err)
		}
	}
}

// The server has no storage left for hours, in streams and buckets: work waits, and
// nothing of it is given up or lost.
func TestAFullServerLosesNothing(t *testing.T) {
	type work struct {
		name, stage, consumer string
		in                    func(key string) string // subject
		does                  string
	}
	all := []work{
		{"ingest rejects", contract.StageIngest, contract.ConsumerIngest, bare(events.SubjectEventReceived), "reject"},
		{"ingest writes to a bucket", contract.StageIngest, contract.ConsumerIngest, bare(events.SubjectEventReceived), "put"},
		{"ingest publishes", contract.StageIngest, contract.ConsumerIngest, bare(events.SubjectEventReceived), "publish"},
		{"the fetcher writes to a bucket", contract.StageFetcher, contract.ConsumerFetch, contract.NoteMissingSubject, "put"},
		{"the fetcher publishes", contract.StageFetcher, contract.ConsumerFetch, contract.NoteMissingSubject, "publish"},
	}
	some, hours := all[:1], time.Hour
	if os.Getenv("RELAYMESH_BACKPRESSURE") != "" { // make test-backpressure
		some, hours = all, 3*time.Hour
	}
	const n = 20
	for _, c := range some {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.bounded(2 << 20)
				for i := range n {
					w.publish(c.in(strconv.Itoa(i)), strconv.Itoa(i))
				}
				drop := w.fill()
				done := map[string]int{}
				handler := func(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
					var out []contract.Output
					switch c.does {
					case "reject":
						return nil, contract.Reject("broken")
					case "publish":
						out = []contract.Output{{Subject: contract.RelayListSignedSubject(string(m.Data)), Data: m.Data}}
						if c.stage == contract.StageFetcher {
							out[0].Subject = events.SubjectEventReceived
						}
					case "put":
						b, err := kv.Open[int](ctx, w.JS, contract.BucketLost)
						if err == nil {
							_, err = b.Update(ctx, string(m.Data), func(int, bool) (int, bool) { return 1, true })
						}
						if err != nil {
							return nil, contract.Retry(2*time.Second, err.Error())
						}
					}
					w.mu.Lock()
					defer w.mu.Unlock()
					done[string(m.Data)]++
					return out, contract.Done()
				}
				x := w.work(c.stage, handlers{c.consumer: handler})
				time.Sleep(hours)
				for _, l := range w.DeadLetters() {
					w.Errorf("after %s without storage: dead letter %s: %s", hours, l.Subject, l.Reason)
				}
				stopped := time.Now()
				x.end(t)
				if took := time.Since(stopped); took > 2*time.Second {
					w.Errorf("a worker that waits for storage takes %s to stop", took)
				}
				w.work(c.stage, handlers{c.consumer: handler})
				time.Sleep(time.Minute)
				drop()
				time.Sleep(2 * time.Hour)
				dead := w.DeadLetters()
				for _, l := range dead {
					if l.Reason != "broken" {
						w.Errorf("with storage again: dead letter %s: %s", l.Subject, l.Reason)
					}
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				if c.does != "reject" && len(done) != n || c.does == "reject" && len(dead) != n {
					w.Errorf("%d of %d done, %d dead letters", len(done), n, len(dead))
				}
				left := 0
				for _, s := range []string{contract.StreamNote, contract.StreamRetry} {
					left += w.Stored(s)
				}
				if c.stage == contract.StageIngest {
					left += w.Stored(contract.StreamIntake)
				}
				if left > 0 {
					w.Errorf("%d messages are left", left)
				}
			})
		})
	}
}

func TestBucketsAreMeasuredByTheStagesThatUseThem(t *testing.T) {
	inWorld(t, func(w *world) {
		metrics := prometheus.NewRegistry()
		w.metrics = metrics
		w.work(contract.StageSyncWorker, nil)
		w.publish("$KV."+contract.BucketLinks+".a", "{}")
		w.publish("$KV."+contract.BucketRefused+".a.b", "{}")
		w.publish("$KV."+contract.BucketRecords+".a", "{}") // it has no permission to look there
		got := map[string]float64{}
		families, err := metrics.Gather()
		if err != nil {
			w.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if name, is := strings.CutPrefix(l.GetValue(), "KV_"); is {
						got[strings.TrimPrefix(f.GetName(), "relaymesh_stream_")+" "+name] = m.GetGauge().GetValue()
					}
				}
			}
		}
		if got["messages links"] != 1 || got["bytes links"] == 0 || got["messages refused"] != 1 || got["limit_bytes refused"] != 512<<20 ||
			got["fill_ratio refused"] == 0 {
			w.Errorf("told %v", got)
		}
		if _, told := got["messages records"]; told {
			w.Errorf("told %v, also of a bucket of other stages", got)
		}
	})
}
