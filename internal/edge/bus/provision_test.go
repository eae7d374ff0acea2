package bus_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

func TestProvisionMakesEverythingOnceAndThenChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := natstest.Connect(t, natstest.StartOn(t, natstest.Dir(t)))
		o := bus.ProvisionOptions{RefreshEvery: time.Hour}
		first, err := bus.Provision(t.Context(), js, o)
		if err != nil {
			t.Fatal(err)
		}
		want := len(contract.Streams()) + len(contract.Consumers()) + len(contract.Buckets()) + 1
		if len(first) != want {
			t.Errorf("first run reports %d changes, want %d: %q", len(first), want, first)
		}
		second, err := bus.Provision(t.Context(), js, o)
		if err != nil || len(second) != 0 {
			t.Errorf("second run reports %q, %v", second, err)
		}
		o.RefreshEvery = 30 * time.Minute
		third, err := bus.Provision(t.Context(), js, o)
		if err != nil || !slices.Equal(done(third), []string{"set 256 of 256 refresh schedules to every 30m0s"}) {
			t.Errorf("after another interval it reports %q, %v", third, err)
		}
	})
}

func TestProvisionMigratesWhatDiffersAndKeepsWhatItDoesNotName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		js := natstest.Start(t)
		stream, err := js.Stream(ctx, contract.StreamIntake)
		if err != nil {
			t.Fatal(err)
		}
		changed := stream.CachedInfo().Config
		changed.MaxBytes, changed.Metadata = 1<<20, map[string]string{"team": "ops"}
		changed.Duplicates = 10 * time.Minute // as earlier versions had it
		changed.Subjects = append(slices.DeleteFunc(changed.Subjects, func(s string) bool { return s == events.SubjectNoteMissing }), "other")
		if _, err := js.UpdateStream(ctx, changed); err != nil {
			t.Fatal(err)
		}
		consumer, err := js.Consumer(ctx, contract.StreamNote, contract.ConsumerFetch)
		if err != nil {
			t.Fatal(err)
		}
		slow := consumer.CachedInfo().Config
		slow.AckWait = time.Hour
		if _, err := js.UpdateConsumer(ctx, contract.StreamNote, slow); err != nil {
			t.Fatal(err)
		}
		if _, err := js.UpdateKeyValue(ctx,
			jetstream.KeyValueConfig{Bucket: contract.BucketLinks, History: 5, LimitMarkerTTL: time.Minute}); err != nil {
			t.Fatal(err)
		}

		changes, err := bus.Provision(ctx, js, bus.ProvisionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"updated stream INTAKE: subjects +note.missing -other, max_bytes 1048576 → 4294967296, duplicate_window 10m0s → 100ms",
			"updated consumer fetch of NOTE: ack_wait 1h0m0s → 30s",
			`updated bucket links: description "" → "relay key.pubkey → who writes where, by which evidence (Link)", ` +
				`history 5 → 1, limit_marker_ttl 1m0s → 1h0m0s`,
		}
		if !slices.Equal(done(changes), want) {
			t.Errorf("changes %q, want %q", done(changes), want)
		}
		stream, err = js.Stream(ctx, contract.StreamIntake)
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
		js := natstest.Connect(t, natstest.StartOn(t, natstest.Dir(t)))
		_, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{RefreshEvery: 7 * time.Minute})
		if err == nil || !strings.Contains(err.Error(), "7m0s") {
			t.Errorf("interval of 7 minutes: %v", err)
		}
	})
}

func done(changes []bus.Change) (list []string) {
	for _, c := range changes {
		list = append(list, c.Done())
	}
	return list
}

func TestPlanLeavesNoMessageBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := natstest.Start(t)
		stream, err := js.Stream(t.Context(), contract.StreamRetry)
		if err != nil {
			t.Fatal(err)
		}
		older := stream.CachedInfo().Config
		older.Subjects = append(older.Subjects, "again.*.*")
		if _, err := js.UpdateStream(t.Context(), older); err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), "again.fetcher.x", nil); err != nil {
			t.Fatal(err)
		}
		_, err = bus.Provision(t.Context(), js, bus.ProvisionOptions{})
		if err == nil || !strings.Contains(err.Error(), "stream RETRY: 1 messages are left on again.*.*") {
			t.Errorf("a message that waits is given up: %v", err)
		}
		if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("again.*.*")); err != nil {
			t.Fatal(err)
		}
		made, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{})
		if want := []string{"updated stream RETRY: subjects -again.*.*"}; err != nil || !slices.Equal(done(made), want) {
			t.Errorf("%q, %v, want %q", done(made), err, want)
		}
	})
}

// The server refuses exactly what Plan says it would.
func TestPlanKnowsWhatTheServerRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		js := natstest.Start(t)
		replace := func(name string, change func(*jetstream.StreamConfig)) {
			t.Helper()
			s, err := js.Stream(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			c := s.CachedInfo().Config
			change(&c)
			if err := js.DeleteStream(ctx, name); err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateStream(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
		for _, tc := range []struct {
			stream, want string
			change       func(*jetstream.StreamConfig)
		}{
			{contract.StreamIntake, "its storage (Memory)", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }},
			{contract.StreamDLQ, "its retention (WorkQueue)", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }},
			{contract.StreamLive, "that it holds schedules", func(c *jetstream.StreamConfig) {
				c.Discard, c.DiscardNewPerSubject, c.AllowMsgSchedules, c.AllowRollup = jetstream.DiscardOld, false, true, true
			}},
			{contract.StreamRetry, "that it denies purges", func(c *jetstream.StreamConfig) {
				c.AllowMsgSchedules, c.AllowRollup, c.DenyPurge = false, false, true
			}},
			{contract.StreamRelay, "stream OTHER takes relay.discovered.*", func(c *jetstream.StreamConfig) {
				c.Name = "OTHER"
			}},
		} {
			replace(tc.stream, tc.change)
			changes, err := bus.Plan(ctx, js, bus.ProvisionOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var refused []bus.Change
			for _, c := range changes {
				if c.Refused != "" {
					refused = append(refused, c)
				}
			}
			if len(refused) != 1 || refused[0].What != "stream "+tc.stream || !strings.Contains(refused[0].Refused, tc.want) {
				t.Errorf("%s: refused %+v, want %s", tc.stream, refused, tc.want)
				continue
			}
			// Without the check the server says no.
			if err := bus.Apply(ctx, refused[0]); err == nil {
				t.Errorf("%s: the server allows it", tc.stream)
			}
			remove := tc.stream
			if tc.stream == contract.StreamRelay {
				remove = "OTHER"
			}
			if err := js.DeleteStream(ctx, remove); err != nil {
				t.Fatal(err)
			}
			if _, err := bus.Provision(ctx, js, bus.ProvisionOptions{}); err != nil {
				t.Errorf("%s: after doing what it says: %v", tc.stream, err)
			}
		}
	})
}
