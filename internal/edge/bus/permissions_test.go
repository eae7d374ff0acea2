package bus_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// permissions is all that a worker may publish to: its outputs, its consumers,
// its dead letters and retries, and its buckets.
func permissions(stage string, outputs, buckets []string) []string {
	allow := append([]string{events.DLQSubject(stage), events.PrefixSchedule + "retry." + stage + ".*"}, outputs...)
	for _, c := range events.Consumers() {
		if c.Stage != stage {
			continue
		}
		at := c.Stream + "." + c.Name
		allow = append(allow, "$JS.API.CONSUMER.INFO."+at, "$JS.API.CONSUMER.MSG.NEXT."+at, "$JS.ACK."+at+".>")
		if c.Stream != events.StreamAdvisories { // to bury what was delivered too often
			allow = append(allow, "$JS.API.STREAM.INFO."+c.Stream, "$JS.API.DIRECT.GET."+c.Stream, "$JS.API.STREAM.MSG.DELETE."+c.Stream)
		}
		if c.Stream == events.StreamSyncDue { // to compare a schedule with the stored one
			due := events.PrefixSchedule + events.SyncDueSubject("*")
			allow = append(allow, "$JS.API.DIRECT.GET."+c.Stream+"."+due, due)
		}
	}
	for _, b := range buckets {
		allow = append(
			allow,
			"$JS.API.STREAM.INFO.KV_"+b, "$JS.API.DIRECT.GET.KV_"+b+".$KV."+b+".>", "$KV."+b+".>",
			// to list
			"$JS.API.CONSUMER.CREATE.KV_"+b+".*.$KV."+b+".>", "$JS.API.CONSUMER.MSG.NEXT.KV_"+b+".*", "$JS.API.CONSUMER.DELETE.KV_"+b+".*",
		)
	}
	return allow
}

// Everything that a worker's bus and buckets do, as a user that may do no more.
func TestAWorkerNeedsNoMorePermissionsThanItsOwn(t *testing.T) {
	const stage = events.StageSyncWorker
	allow := permissions(stage, []string{events.NoteMissingSubject("*"), events.SubjectSyncFinished}, []string{events.BucketSyncs})
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, JetStream: true, StoreDir: t.TempDir(),
		Users: []*server.User{
			{Username: "operator", Password: "o"},
			{Username: stage, Password: "w", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: allow},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_" + stage + ".>"}},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("server is not ready")
	}
	connect := func(user, password string) jetstream.JetStream {
		nc, err := bus.Dial(t.Context(), s.ClientURL(), user, slog.New(slog.NewTextHandler(t.Output(), nil)), nats.UserInfo(user, password),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.Errorf("%s: %v", user, err) }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	operator, worker := connect("operator", "o"), connect(stage, "w")
	if _, err := bus.Provision(t.Context(), operator, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	bucket, err := kv.Open[events.Sync](t.Context(), worker, events.BucketSyncs)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bus.New(worker, bus.Options{Stage: stage})
	if err != nil {
		t.Fatal(err)
	}
	handled := make(chan string, 100)
	b.Handle(consumer(t, events.ConsumerDiscovered), func(ctx context.Context, m events.Message) ([]events.Output, events.Verdict) {
		defer func() { handled <- m.Key() }()
		switch m.Key() {
		case "later":
			return nil, events.Retry(time.Hour, "waits on RETRY")
		case "never":
			return nil, events.Reject("goes to the dead letters")
		}
		if _, err := bucket.Update(ctx, m.Key(), func(events.Sync, bool) (events.Sync, bool) { return events.Sync{URL: "wss://a"}, true }); err != nil {
			t.Error(err)
		}
		for _, err := range bucket.List(ctx, ">") {
			if err != nil {
				t.Error(err)
			}
		}
		if _, err := bucket.Remove(ctx, m.Key(), func(events.Sync) bool { return true }); err != nil {
			t.Error(err)
		}
		for _, cron := range []string{"0 0 0 * * *", events.CronNever} {
			if err := b.Publish(ctx, events.Output{Subject: events.SyncDueSubject("of-" + m.Key()), Data: []byte("{}"), Cron: cron}); err != nil {
				t.Error(err)
			}
		}
		return []events.Output{
			{Subject: events.SubjectSyncFinished, Data: []byte("{}")},
			{Subject: events.SyncDueSubject(m.Key()), Data: []byte("{}"), Cron: "0 0 0 * * *"},
		}, events.Done()
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	<-b.Running()
	publish := func(subject, data string) {
		if _, err := operator.Publish(t.Context(), subject, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"now", "later", "never"} {
		publish(events.RelayDiscoveredSubject(key), "{}")
	}
	for range 3 {
		<-handled
	}
	// The server itself would say this after too many deliveries.
	due, err := operator.Publish(t.Context(), events.SyncDueSubject("stuck"), []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	advisory := map[string]any{"stream": events.StreamSyncDue, "consumer": events.ConsumerSync, "stream_seq": due.Sequence, "deliveries": events.MaxDeliver}
	publish(events.AdvisoryMaxDeliveries+"."+events.StreamSyncDue+"."+events.ConsumerSync, string(events.Encode(advisory)))

	dead, err := operator.CreateConsumer(t.Context(), events.StreamDLQ, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := dead.Next(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for stream, want := range map[string]uint64{events.StreamRelay: 0, events.StreamRetry: 1, events.StreamSyncDue: 1, events.StreamOutcome: 1} {
		info, err := operator.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		// The server takes acks after it has read them, and tells nobody.
		for deadline := time.Now().Add(10 * time.Second); info.CachedInfo().State.Msgs != want && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
			if _, err := info.Info(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := info.CachedInfo().State.Msgs; n != want {
			t.Errorf("%d messages in %s, want %d", n, stream, want)
		}
	}
}
