package bus_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// cluster starts three servers that are one.
func cluster(t *testing.T) []*server.Server {
	t.Helper()
	routes := make([]*url.URL, 3)
	for i := range routes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		routes[i] = &url.URL{Scheme: "nats", Host: l.Addr().String()}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	list := make([]*server.Server, len(routes))
	for i := range list {
		o := server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, Routes: routes, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 40,
		}
		o.Cluster.Name, o.Cluster.Host = "ours", "127.0.0.1"
		if _, err := fmt.Sscan(routes[i].Port(), &o.Cluster.Port); err != nil {
			t.Fatal(err)
		}
		s, err := server.NewServer(&o)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		list[i] = s
	}
	for end := time.Now().Add(time.Minute); !slices.ContainsFunc(list, (*server.Server).JetStreamIsLeader); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the cluster has no leader")
		}
	}
	return list
}

func connectTo(t *testing.T, servers []*server.Server) *nats.Conn {
	t.Helper()
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.ClientURL())
	}
	nc, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// With three copies of everything one server may go away, the one that we are connected to,
// too: all that is published is taken and handled, and provisioned anew.
func TestThreeReplicasWithOneServerAway(t *testing.T) {
	if os.Getenv("RELAYMESH_CLUSTER") == "" {
		t.Skip("a cluster of three servers takes a minute: make test-cluster")
	}
	servers := cluster(t)
	js, err := bus.JetStream(connectTo(t, servers), "", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if _, err := bus.Provision(ctx, js, bus.ProvisionOptions{Replicas: 3, RefreshEvery: time.Hour}); err != nil {
		t.Fatal(err)
	}
	b, err := bus.New(js, bus.Options{Stage: contract.StageIngest})
	if err != nil {
		t.Fatal(err)
	}
	handled := make(chan string, 1000)
	b.Handle(contract.Consumers()[0], func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
		handled <- string(m.Data)
		return nil, contract.Done()
	})
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(run) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	publish := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			for { // as every publisher does until it has an acknowledgement
				err := b.Publish(ctx, contract.Output{Subject: events.SubjectEventReceived, Data: strconv.AppendInt(nil, int64(i), 10)})
				if err == nil {
					break
				}
				if ctx.Err() != nil {
					t.Fatal(err)
				}
			}
		}
	}
	publish(0, 20)
	connected := js.Conn().ConnectedServerName()
	for _, s := range servers {
		if s.Name() == connected {
			s.Shutdown()
		}
	}
	publish(20, 60)
	seen := map[string]bool{}
	for len(seen) < 60 {
		select {
		case id := <-handled:
			seen[id] = true
		case <-ctx.Done():
			t.Fatalf("%d of 60 messages are handled", len(seen))
		}
	}
	if err := b.Unwritable(); err != nil {
		t.Error(err)
	}
	changes, err := bus.Provision(ctx, js, bus.ProvisionOptions{RefreshEvery: 30 * time.Minute})
	if err != nil || len(changes) != 1 {
		t.Errorf("provisioned anew: %v, %v", changes, err)
	}
}
