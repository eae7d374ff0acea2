package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
)

type statusCmd struct {
	remote
	JSON bool `help:"Print one JSON object."`
}

// status is what the command prints; its fields are stable.
type status struct {
	Consumers   []consumerStatus  `json:"consumers"`
	Buckets     map[string]uint64 `json:"buckets"` // values by bucket
	DeadLetters map[string]uint64 `json:"dead_letters"`
}

type consumerStatus struct {
	Stage       string `json:"stage"`
	Consumer    string `json:"consumer"`
	Waiting     uint64 `json:"waiting"`
	InFlight    int    `json:"in_flight"`
	Redelivered int    `json:"redelivered"`
}

// Run prints what waits where.
func (c *statusCmd) Run(ctx context.Context, o *output) (err error) {
	js, err := c.connect(ctx, o)
	if err != nil {
		return err
	}
	defer disconnect(js, &err)
	s := status{Buckets: map[string]uint64{}, DeadLetters: map[string]uint64{}}
	for _, spec := range contract.Consumers() {
		if spec.Stream == contract.StreamAdvisories {
			continue
		}
		consumer, err := js.Consumer(ctx, spec.Stream, spec.Name)
		if err != nil {
			return fmt.Errorf("consumer %s of %s: %w", spec.Name, spec.Stream, err)
		}
		info := consumer.CachedInfo()
		s.Consumers = append(s.Consumers,
			consumerStatus{spec.Stage, spec.Stream + "/" + spec.Name, info.NumPending, info.NumAckPending, info.NumRedelivered})
	}
	for _, spec := range contract.Buckets() {
		bucket, err := js.KeyValue(ctx, spec.Name)
		if err != nil {
			return fmt.Errorf("bucket %s: %w", spec.Name, err)
		}
		info, err := bucket.Status(ctx)
		if err != nil {
			return fmt.Errorf("bucket %s: %w", spec.Name, err)
		}
		s.Buckets[spec.Name] = info.Values()
	}
	for _, stage := range contract.Stages() {
		stream, err := js.Stream(ctx, contract.StreamDLQ)
		if err != nil {
			return fmt.Errorf("stream %s: %w", contract.StreamDLQ, err)
		}
		subject := bus.PrefixOf(js).Subject(contract.DLQSubject(stage))
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(subject))
		if err != nil {
			return err
		}
		s.DeadLetters[stage] = info.State.Subjects[subject]
	}
	if c.JSON {
		return o.json(s)
	}
	w := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STAGE\tCONSUMER\tWAITING\tIN FLIGHT\tREDELIVERED")
	for _, c := range s.Consumers {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\n", c.Stage, c.Consumer, c.Waiting, c.InFlight, c.Redelivered)
	}
	fmt.Fprintln(w, "\nBUCKET\tVALUES")
	for _, spec := range contract.Buckets() {
		fmt.Fprintf(w, "%s\t%d\n", spec.Name, s.Buckets[spec.Name])
	}
	fmt.Fprintln(w, "\nDEAD LETTERS\t")
	for _, stage := range contract.Stages() {
		fmt.Fprintf(w, "%s\t%d\n", stage, s.DeadLetters[stage])
	}
	return w.Flush()
}
