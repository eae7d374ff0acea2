package bus_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// BenchmarkBus moves messages of 1 KiB through a handler that does nothing:
// what the bus costs, at the in-flight limits that the consumers have.
func BenchmarkBus(b *testing.B) {
	for _, c := range []struct {
		name, stage, consumer string
		subject               func(i int) string
		outputs               int
	}{
		{"ingest", contract.StageIngest, contract.ConsumerIngest, func(int) string { return events.SubjectEventReceived }, 0},
		{"fetch", contract.StageFetcher, contract.ConsumerFetch, func(i int) string { return contract.NoteMissingSubject(strconv.Itoa(i)) }, 0},
		{
			"fetch and publish", contract.StageFetcher, contract.ConsumerFetch,
			func(i int) string { return contract.NoteMissingSubject(strconv.Itoa(i)) }, 1,
		},
	} {
		b.Run(c.name, func(b *testing.B) {
			js := natstest.Start(b)
			body := make([]byte, 1024)
			for i := range b.N {
				if _, err := js.PublishAsync(c.subject(i), body); err != nil {
					b.Fatal(err)
				}
			}
			<-js.PublishAsyncComplete()
			x, err := bus.New(js, bus.Options{Stage: c.stage})
			if err != nil {
				b.Fatal(err)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			for _, spec := range contract.Consumers() {
				if spec.Name == c.consumer && spec.Stream != contract.StreamRetry && spec.Stream != contract.StreamAdvisories {
					h := func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
						if left.Add(-1) == 0 {
							stop()
						}
						if c.outputs == 0 {
							return nil, contract.Done()
						}
						return []contract.Output{{Subject: events.SubjectNoteFound, Data: m.Data, ID: m.Cause}}, contract.Done()
					}
					if c.stage == contract.StageIngest {
						x.HandleTogether(spec, func([]*contract.Message) {}, h)
					} else {
						x.Handle(spec, h)
					}
				}
			}
			b.ResetTimer()
			if err := x.Run(ctx); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
