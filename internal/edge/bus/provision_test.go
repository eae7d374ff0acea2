package bus_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

func TestProvisionMakesEverythingOnceAndThenChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := natstest.Connect(t, natstest.StartOn(t, t.TempDir()))
		o := bus.ProvisionOptions{RefreshEvery: time.Hour}
		first, err := bus.Provision(t.Context(), js, o)
		if err != nil {
			t.Fatal(err)
		}
		want := len(events.Streams()) + len(events.Consumers()) + len(events.Buckets()) + 1
		if len(first) != want {
			t.Errorf("first run reports %d changes, want %d: %q", len(first), want, first)
		}
		second, err := bus.Provision(t.Context(), js, o)
		if err != nil || len(second) != 0 {
			t.Errorf("second run reports %q, %v", second, err)
		}
		o.RefreshEvery = 30 * time.Minute
		third, err := bus.Provision(t.Context(), js, o)
		if err != nil || !slices.Equal(third, []string{"set 256 of 256 refresh schedules to every 30m0s"}) {
			t.Errorf("after another interval it reports %q, %v", third, err)
		}
	})
}

func TestProvisionMigratesWhatDiffersAndKeepsWhatItDoesNotName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		js := natstest.Start(t)
		stream, err := js.Stream(ctx, events.StreamIntake)
		if err != nil {
			t.Fatal(err)
		}
		changed := stream.CachedInfo().Config
		changed.MaxBytes, changed.Metadata = 1<<20, map[string]string{"team": "ops"}
		if _, err := js.UpdateStream(ctx, changed); err != nil {
			t.Fatal(err)
		}
		consumer, err := js.Consumer(ctx, events.StreamNote, events.ConsumerFetch)
		if err != nil {
			t.Fatal(err)
		}
		slow := consumer.CachedInfo().Config
		slow.AckWait = time.Hour
		if _, err := js.UpdateConsumer(ctx, events.StreamNote, slow); err != nil {
			t.Fatal(err)
		}
		if _, err := js.UpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: events.BucketLinks, History: 5, LimitMarkerTTL: time.Minute}); err != nil {
			t.Fatal(err)
		}

		changes, err := bus.Provision(ctx, js, bus.ProvisionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"updated stream INTAKE: MaxBytes",
			"updated consumer fetch of NOTE: AckWait",
			"updated bucket links: Description, History, LimitMarkerTTL",
		}
		if !slices.Equal(changes, want) {
			t.Errorf("changes %q, want %q", changes, want)
		}
		stream, err = js.Stream(ctx, events.StreamIntake)
		if err != nil {
			t.Fatal(err)
		}
		if got := stream.CachedInfo().Config; got.MaxBytes != 4<<30 || got.Metadata["team"] != "ops" {
			t.Errorf("after migration MaxBytes %d, metadata %v", got.MaxBytes, got.Metadata)
		}
	})
}

func TestProvisionRefusesAnIntervalThatCronCannotSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := natstest.Connect(t, natstest.StartOn(t, t.TempDir()))
		_, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{RefreshEvery: 7 * time.Minute})
		if err == nil || !strings.Contains(err.Error(), "7m0s") {
			t.Errorf("interval of 7 minutes: %v", err)
		}
	})
}
