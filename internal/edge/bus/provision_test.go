package bus_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
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
		changed.MaxBytes, changed.Metadata = 1<<20, map[string]string{"team": "ops"} // earlier versions left no mark
		changed.Duplicates = 10 * time.Minute                                        // as earlier versions had it
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
			jetstream.KeyValueConfig{
				Bucket: contract.BucketLinks, History: 5, LimitMarkerTTL: time.Minute, Metadata: map[string]string{"relaymesh": "1"},
			}); err != nil {
			t.Fatal(err)
		}

		changes, err := bus.Provision(ctx, js, bus.ProvisionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"updated stream INTAKE: subjects +note.missing -other, max_bytes 1048576 → 4294967296, duplicate_window 10m0s → 100ms, " +
				"metadata team=ops → relaymesh=1 team=ops",
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

// What somebody else has made is never changed, whatever it is called, and nobody is
// told to remove it.
func TestWhatIsNotOursIsNotTouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		js := natstest.Connect(t, natstest.StartOn(t, natstest.Dir(t)))
		bucket, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: contract.BucketRecords, History: 5})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if _, err := bucket.PutString(ctx, "a", "b"); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []jetstream.StreamConfig{
			{Name: contract.StreamNote, Subjects: []string{"my.notes"}, Description: "notes of mine"},
			{Name: contract.StreamRelay, Subjects: []string{"relay.discovered.*", "relay.mine"}},
			{Name: contract.StreamDLQ, Subjects: []string{"dlq.>"}, MaxAge: time.Hour}, // the same subjects
			{Name: "MINE", Subjects: []string{"event.>"}},
		} {
			if _, err := js.CreateStream(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
		_, err = bus.Provision(ctx, js, bus.ProvisionOptions{})
		for _, what := range []string{
			"nothing was changed", "bucket records: there is one of that name", "stream NOTE: there is one", "stream RELAY: there is one",
			"stream DLQ: there is one",
			"stream MINE takes event.received", "an account of its own",
		} {
			if err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%v, want %q", err, what)
			}
		}
		if err == nil || strings.Contains(err.Error(), " rm ") || strings.Contains(err.Error(), " del ") {
			t.Errorf("advice to remove it: %v", err)
		}
		if history, err := bucket.History(ctx, "a"); err != nil || len(history) != 5 {
			t.Errorf("%d revisions are left, %v", len(history), err)
		}
	})
}

// Below the full size bounds shrink in proportion, and stay like that until another
// size is asked for.
func TestProvisionForASmallStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, err := natsd.Start(natsd.Config{Dir: natstest.Dir(t), SyncInterval: 1000 * time.Hour, MaxStore: contract.MinStore})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		js := natstest.Connect(t, s)
		for _, store := range []int64{contract.MinStore, 0} {
			changes, err := bus.Provision(ctx, js, bus.ProvisionOptions{Store: store})
			if err != nil || store == 0 && len(changes) > 0 {
				t.Fatalf("for %d: %q, %v", store, changes, err)
			}
		}
		intake, err := js.Stream(ctx, contract.StreamIntake)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := intake.CachedInfo().Config.MaxBytes, int64(4<<30)/12; got != want {
			t.Errorf("the intake takes %d bytes, want %d", got, want)
		}
		if _, err := bus.Provision(ctx, js, bus.ProvisionOptions{Store: 5}); err == nil {
			t.Error("provisioned for 5 bytes")
		}
	})
}

// A server that is too old is refused before anything is made.
func TestAnOldServerIsRefused(t *testing.T) {
	t.Parallel()
	for version, old := range map[string]bool{
		"2.9.25": true, "2.11.17": true, "2.12.6": true, "1.4.1": true, "2.14.0": false, "2.15.3-dev": false, "3.0": false, "build": false,
	} {
		if got := !bus.AtLeast(version, 2, 14); got != old {
			t.Errorf("%s: too old is %t", version, got)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, `INFO {"server_id":"x","version":"2.11.17","headers":true,"max_payload":1048576}`+"\r\n")
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			switch word, _, _ := strings.Cut(lines.Text(), " "); word {
			case "PING":
				_, _ = io.WriteString(conn, "PONG\r\n")
			case "PUB", "HPUB":
				asked <- lines.Text()
			}
		}
		close(asked)
	}()
	nc, err := nats.Connect("nats://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	_, err = bus.Provision(t.Context(), js, bus.ProvisionOptions{})
	if err == nil || !strings.Contains(err.Error(), "NATS server 2.11.17") || !strings.Contains(err.Error(), "2.14") {
		t.Errorf("%v", err)
	}
	nc.Close()
	if request, is := <-asked; is {
		t.Errorf("asked it all the same: %s", request)
	}
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
