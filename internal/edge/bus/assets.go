package bus

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// planStream compares a stream with the contract; nil is no difference.
func planStream(ctx context.Context, js jetstream.JetStream, s contract.Stream, o ProvisionOptions) (*Change, error) {
	what := "stream " + s.Name
	taken, err := takenSubject(ctx, js, s)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, s.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return &Change{Verb: "create", What: what, Refused: taken, apply: func(ctx context.Context) error {
			made, err := js.CreateStream(ctx, streamConfig(jetstream.StreamConfig{}, s, o))
			return streamTaken(made, err, s, o)
		}}, nil
	}
	if err != nil {
		return nil, err
	}
	have := stream.CachedInfo().Config
	if why := strange(have.Metadata, have.Description, s.Doc); why != "" {
		return &Change{Verb: "update", What: what, Refused: why}, nil
	}
	want := streamConfig(have, s, o)
	how := differing(have, want)
	if how == "" {
		return nil, nil
	}
	stuck, err := stranded(ctx, stream, want.Subjects)
	if err != nil {
		return nil, err
	}
	refused := cmp.Or(refusedStream(have, want), taken, stuck)
	return &Change{Verb: "update", What: what, How: how, Refused: refused, apply: func(ctx context.Context) error {
		made, err := js.UpdateStream(ctx, want)
		return streamTaken(made, err, s, o)
	}}, nil
}

// streamConfig lays the contract's stream over an existing configuration.
func streamConfig(c jetstream.StreamConfig, s contract.Stream, o ProvisionOptions) jetstream.StreamConfig {
	s = s.Sized(o.Store)
	c.Name, c.Description, c.Subjects, c.Metadata = s.Name, s.Doc, s.Subjects, marked(c.Metadata, o.Store)
	c.Storage, c.Replicas = jetstream.FileStorage, o.Replicas
	c.Retention, c.Discard, c.DiscardNewPerSubject = jetstream.LimitsPolicy, jetstream.DiscardOld, false
	c.MaxMsgsPerSubject = -1
	switch {
	case s.Once:
		c.Retention, c.Discard, c.DiscardNewPerSubject, c.MaxMsgsPerSubject = jetstream.WorkQueuePolicy, jetstream.DiscardNew, true, 1
	case s.Coalesce:
		c.Retention, c.Discard, c.MaxMsgsPerSubject = jetstream.WorkQueuePolicy, jetstream.DiscardNew, 1
	case s.Queue:
		c.Retention, c.Discard = jetstream.WorkQueuePolicy, jetstream.DiscardNew
	}
	c.MaxAge, c.Duplicates = s.MaxAge, s.Dedupe
	c.MaxBytes = -1
	if s.MaxBytes > 0 {
		c.MaxBytes = s.MaxBytes
	}
	// A full queue refuses new work, which its publisher is told, instead of
	// silently dropping work that it has accepted. The server cannot do that where
	// there are schedules: there the publishers keep to the bound.
	if s.Schedules {
		c.AllowMsgSchedules, c.AllowRollup, c.DenyPurge = true, true, false
		c.Discard, c.MaxBytes = jetstream.DiscardOld, -1
	}
	// Lets a worker read one stored schedule with a permission for just its
	// subject.
	c.AllowDirect = true
	return c
}

func planConsumer(ctx context.Context, js jetstream.JetStream, c contract.Consumer, o ProvisionOptions) (*Change, error) {
	what := "consumer " + c.Name + " of " + c.Stream
	consumer, err := js.Consumer(ctx, c.Stream, c.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return &Change{Verb: "create", What: what, apply: func(ctx context.Context) error {
			made, err := js.CreateConsumer(ctx, c.Stream, consumerConfig(jetstream.ConsumerConfig{}, c, o.Store))
			return consumerTaken(made, err, c, o)
		}}, nil
	}
	if errors.Is(err, jetstream.ErrNotPullConsumer) {
		return &Change{Verb: "update", What: what, Refused: "it pushes: " + anew(c)}, nil
	}
	if err != nil {
		return nil, err
	}
	have := consumer.CachedInfo().Config
	want := consumerConfig(have, c, o.Store)
	how := differing(have, want)
	if how == "" {
		return nil, nil
	}
	refused := ""
	if have.AckPolicy != want.AckPolicy {
		refused = "its ack policy: " + anew(c)
	}
	return &Change{Verb: "update", What: what, How: how, Refused: refused, apply: func(ctx context.Context) error {
		made, err := js.UpdateConsumer(ctx, c.Stream, want)
		return consumerTaken(made, err, c, o)
	}}, nil
}

func consumerConfig(c jetstream.ConsumerConfig, want contract.Consumer, store int64) jetstream.ConsumerConfig {
	c.Name, c.Durable, c.Metadata = want.Name, want.Name, marked(c.Metadata, store)
	c.AckPolicy, c.AckWait = jetstream.AckExplicitPolicy, want.AckWait
	c.MaxDeliver, c.MaxAckPending = contract.MaxDeliver, contract.MaxAckPending
	c.FilterSubject, c.FilterSubjects = "", want.Filters
	if len(want.Filters) == 1 { // the server stores a single one like this
		c.FilterSubject, c.FilterSubjects = want.Filters[0], nil
	}
	return c
}

// markerTTL is how long the marker of a removed key is kept; without it every
// removed key would occupy memory for ever.
const markerTTL = time.Hour

func planBucket(ctx context.Context, js jetstream.JetStream, b contract.Bucket, o ProvisionOptions) (*Change, error) {
	what := "bucket " + b.Name
	kv, err := js.KeyValue(ctx, b.Name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return &Change{Verb: "create", What: what, apply: func(ctx context.Context) error {
			made, err := js.CreateKeyValue(ctx, bucketConfig(jetstream.KeyValueConfig{}, b, o))
			return bucketTaken(ctx, made, err, b, o)
		}}, nil
	}
	if err != nil {
		return nil, err
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return nil, err
	}
	have := status.Config()
	if why := strange(have.Metadata, have.Description, b.Doc); why != "" {
		return &Change{Verb: "update", What: what, Refused: why}, nil
	}
	want := bucketConfig(have, b, o)
	how := differing(have, want)
	if how == "" {
		return nil, nil
	}
	refused := ""
	if have.Storage != want.Storage {
		refused = "its storage: stop the workers and remove it (nats kv del " + b.Name + "); what it held is learned again"
	}
	return &Change{Verb: "update", What: what, How: how, Refused: refused, apply: func(ctx context.Context) error {
		made, err := js.UpdateKeyValue(ctx, want)
		return bucketTaken(ctx, made, err, b, o)
	}}, nil
}

func bucketConfig(c jetstream.KeyValueConfig, b contract.Bucket, o ProvisionOptions) jetstream.KeyValueConfig {
	b = b.Sized(o.Store)
	c.Bucket, c.Description, c.TTL, c.Metadata = b.Name, b.Doc, b.TTL, marked(c.Metadata, o.Store)
	c.History, c.Storage, c.Replicas = 1, jetstream.FileStorage, o.Replicas
	c.LimitMarkerTTL = markerTTL
	if b.MaxValue > 0 { // whoever may write a marker with a time of its own may write a value that never expires
		c.LimitMarkerTTL, c.MaxValueSize = 0, b.MaxValue
	}
	c.MaxBytes = -1
	if b.MaxBytes > 0 {
		c.MaxBytes = b.MaxBytes
	}
	return c
}
