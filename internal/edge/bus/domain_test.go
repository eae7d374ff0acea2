package bus_test

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// natsServer runs a NATS server of somebody else with JetStream, until the test ends.
func natsServer(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.JetStream, o.StoreDir, o.JetStreamMaxStore, o.NoSigs, o.NoLog = true, t.TempDir(), 1<<40, true, true
	o.Host, o.Port = "127.0.0.1", server.RANDOM_PORT
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server is not ready")
	}
	return s
}

// A pipeline whose streams are in the domain of a hub works for those who are connected to a
// leaf node, which has a JetStream of its own.
func TestTheJetStreamOfAnotherDomain(t *testing.T) {
	t.Parallel()
	hub := natsServer(t, server.Options{
		ServerName: "hub", JetStreamDomain: "hub", LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT},
	})
	seen, err := hub.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	at := &url.URL{Scheme: "nats", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(seen.LeafNode.Port))}
	leaf := natsServer(t, server.Options{
		ServerName: "leaf", JetStreamDomain: "leaf",
		LeafNode: server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{{URLs: []*url.URL{at}}}},
	})
	nc, err := nats.Connect(leaf.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for end := time.Now().Add(time.Minute); hub.NumLeafNodes() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the leaf node is not connected")
		}
	}
	js, err := bus.JetStream(nc, "hub", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{RefreshEvery: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if again, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{RefreshEvery: time.Hour}); err != nil || len(again) > 0 {
		t.Errorf("the second time %v, %v", again, err)
	}
	own, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := own.Stream(t.Context(), contract.StreamIntake); err == nil {
		t.Error("the leaf node itself has the streams")
	}

	cursors, err := kv.Open[contract.Cursor](t.Context(), js, contract.BucketCursors)
	if err != nil {
		t.Fatal(err)
	}
	for since := range int64(2) {
		if _, err := cursors.Update(t.Context(), "relay", func(c contract.Cursor, there bool) (contract.Cursor, bool) {
			if there != (since > 0) || c.Since != max(since-1, 0) {
				t.Errorf("before %d the cursor is %+v, %t", since, c, there)
			}
			return contract.Cursor{Since: since}, true
		}); err != nil {
			t.Fatal(err)
		}
	}

	b, err := bus.New(js, bus.Options{Stage: contract.StageIngest})
	if err != nil {
		t.Fatal(err)
	}
	const messages = 20
	handled := make(chan struct{}, 2*messages)
	b.Handle(contract.Consumers()[0], func(context.Context, contract.Message) ([]contract.Output, contract.Verdict) {
		handled <- struct{}{}
		return []contract.Output{{Subject: contract.AuthorSeenSubject(strconv.Itoa(len(handled))), Data: []byte("{}")}}, contract.Done()
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	for range messages {
		if err := b.Publish(ctx, contract.Output{Subject: events.SubjectEventReceived, Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range messages {
		select {
		case <-handled:
		case <-time.After(time.Minute):
			t.Fatalf("%d of %d messages are handled", i, messages)
		}
	}
	if err := b.Unwritable(); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	intake, err := js.Stream(t.Context(), contract.StreamIntake)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := intake.Info(t.Context()); err != nil || info.State.Msgs != 0 {
		t.Errorf("%+v, %v: not all is acknowledged", info.State, err)
	}
}
