package bus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// ProvisionOptions are what the contract leaves to the installation.
type ProvisionOptions struct {
	// Replicas of every stream and bucket; 0 means 1.
	Replicas int
	// RefreshEvery is the interval in which each DHT record is refreshed; 0
	// leaves the schedules as they are. See [events.Cron] for what it may be.
	RefreshEvery time.Duration
}

// Provision makes or migrates the streams, consumers, buckets and schedules of
// package events, and says in words what it changed: nothing on the second
// run. It keeps settings that the contract does not name, such as placement,
// and never deletes anything. Retention and storage cannot be migrated; it
// fails then, with the stream's name.
func Provision(ctx context.Context, js jetstream.JetStream, o ProvisionOptions) ([]string, error) {
	o.Replicas = max(o.Replicas, 1)
	changes, err := provision(ctx, js, o.Replicas)
	if err != nil {
		return changes, err
	}
	change, err := provisionSchedules(ctx, js, o.RefreshEvery)
	if err != nil {
		return changes, fmt.Errorf("provision schedules: %w", err)
	}
	if change != "" {
		changes = append(changes, change)
	}
	return changes, nil
}

// provision is Provision without the schedules.
func provision(ctx context.Context, js jetstream.JetStream, replicas int) (changes []string, err error) {
	note := func(change string, err error) error {
		if change != "" {
			changes = append(changes, change)
		}
		return err
	}
	for _, s := range events.Streams() {
		if err := note(provisionStream(ctx, js, s, replicas)); err != nil {
			return changes, fmt.Errorf("provision stream %s: %w", s.Name, err)
		}
	}
	for _, c := range events.Consumers() {
		if err := note(provisionConsumer(ctx, js, c)); err != nil {
			return changes, fmt.Errorf("provision consumer %s of %s: %w", c.Name, c.Stream, err)
		}
	}
	for _, b := range events.Buckets() {
		if err := note(provisionBucket(ctx, js, b, replicas)); err != nil {
			return changes, fmt.Errorf("provision bucket %s: %w", b.Name, err)
		}
	}
	return changes, nil
}

func provisionStream(ctx context.Context, js jetstream.JetStream, s events.Stream, replicas int) (string, error) {
	stream, err := js.Stream(ctx, s.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err := js.CreateStream(ctx, streamConfig(jetstream.StreamConfig{}, s, replicas))
		return "created stream " + s.Name, err
	}
	if err != nil {
		return "", err
	}
	have := stream.CachedInfo().Config
	want := streamConfig(have, s, replicas)
	diff := differing(have, want)
	if diff == "" {
		return "", nil
	}
	_, err = js.UpdateStream(ctx, want)
	return "updated stream " + s.Name + ": " + diff, err
}

// streamConfig lays the contract's stream over an existing configuration.
func streamConfig(c jetstream.StreamConfig, s events.Stream, replicas int) jetstream.StreamConfig {
	c.Name, c.Description, c.Subjects = s.Name, s.Doc, s.Subjects
	c.Storage, c.Replicas = jetstream.FileStorage, replicas
	c.Retention, c.Discard, c.DiscardNewPerSubject = jetstream.LimitsPolicy, jetstream.DiscardOld, false
	c.MaxMsgsPerSubject = -1
	switch {
	case s.Once:
		c.Retention, c.Discard, c.DiscardNewPerSubject, c.MaxMsgsPerSubject = jetstream.WorkQueuePolicy, jetstream.DiscardNew, true, 1
	case s.Coalesce:
		c.Retention, c.MaxMsgsPerSubject = jetstream.WorkQueuePolicy, 1
	case s.Queue:
		// A full queue refuses new work, which its publisher is told, instead
		// of silently dropping work that it has accepted.
		c.Retention, c.Discard = jetstream.WorkQueuePolicy, jetstream.DiscardNew
	}
	if s.Schedules {
		c.AllowMsgSchedules, c.AllowRollup, c.DenyPurge = true, true, false
	}
	c.MaxAge, c.Duplicates = s.MaxAge, s.Dedupe
	c.MaxBytes = -1
	if s.MaxBytes > 0 {
		c.MaxBytes = s.MaxBytes
	}
	// Lets a worker read one stored schedule with a permission for just its
	// subject.
	c.AllowDirect = true
	return c
}

func provisionConsumer(ctx context.Context, js jetstream.JetStream, c events.Consumer) (string, error) {
	name := "consumer " + c.Name + " of " + c.Stream
	consumer, err := js.Consumer(ctx, c.Stream, c.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err := js.CreateConsumer(ctx, c.Stream, consumerConfig(jetstream.ConsumerConfig{}, c))
		return "created " + name, err
	}
	if err != nil {
		return "", err
	}
	have := consumer.CachedInfo().Config
	want := consumerConfig(have, c)
	diff := differing(have, want)
	if diff == "" {
		return "", nil
	}
	_, err = js.UpdateConsumer(ctx, c.Stream, want)
	return "updated " + name + ": " + diff, err
}

func consumerConfig(c jetstream.ConsumerConfig, want events.Consumer) jetstream.ConsumerConfig {
	c.Name, c.Durable = want.Name, want.Name
	c.AckPolicy, c.AckWait = jetstream.AckExplicitPolicy, want.AckWait
	c.MaxDeliver, c.MaxAckPending = events.MaxDeliver, events.MaxAckPending
	c.FilterSubject, c.FilterSubjects = "", want.Filters
	if len(want.Filters) == 1 { // the server stores a single one like this
		c.FilterSubject, c.FilterSubjects = want.Filters[0], nil
	}
	return c
}

// markerTTL is how long the marker of a removed key is kept; without it every
// removed key would occupy memory for ever.
const markerTTL = time.Hour

func provisionBucket(ctx context.Context, js jetstream.JetStream, b events.Bucket, replicas int) (string, error) {
	kv, err := js.KeyValue(ctx, b.Name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		_, err := js.CreateKeyValue(ctx, bucketConfig(jetstream.KeyValueConfig{}, b, replicas))
		return "created bucket " + b.Name, err
	}
	if err != nil {
		return "", err
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return "", err
	}
	have := status.Config()
	want := bucketConfig(have, b, replicas)
	diff := differing(have, want)
	if diff == "" {
		return "", nil
	}
	_, err = js.UpdateKeyValue(ctx, want)
	return "updated bucket " + b.Name + ": " + diff, err
}

func bucketConfig(c jetstream.KeyValueConfig, b events.Bucket, replicas int) jetstream.KeyValueConfig {
	c.Bucket, c.Description, c.TTL = b.Name, b.Doc, b.TTL
	c.History, c.Storage, c.Replicas = 1, jetstream.FileStorage, replicas
	c.LimitMarkerTTL = markerTTL
	c.MaxBytes = -1
	if b.MaxBytes > 0 {
		c.MaxBytes = b.MaxBytes
	}
	return c
}

func provisionSchedules(ctx context.Context, js jetstream.JetStream, every time.Duration) (string, error) {
	if every == 0 {
		return "", nil
	}
	schedules, err := events.RecordSchedules(every)
	if err != nil {
		return "", err
	}
	set := 0
	for _, s := range schedules {
		changed, err := schedule(ctx, js, s)
		if err != nil {
			return "", err
		}
		if changed {
			set++
		}
	}
	if set == 0 {
		return "", nil
	}
	return fmt.Sprintf("set %d of %d refresh schedules to every %s", set, len(schedules), every), nil
}

// differing names the fields in which two configurations differ.
func differing[T any](have, want T) string {
	var names []string
	a, b := reflect.ValueOf(have), reflect.ValueOf(want)
	for i := range a.NumField() {
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			names = append(names, a.Type().Field(i).Name)
		}
	}
	return strings.Join(names, ", ")
}
