package bus_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/internal/edge/bus"
)

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
	ch chan struct{} // gets a token per line
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.ch <- struct{}{} }()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A denied request looks like a timeout to its caller.
func TestADeniedPermissionIsLogged(t *testing.T) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true,
		Users: []*server.User{{
			Username: "w", Password: "secret",
			Permissions: &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{"mine"}}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("server is not ready")
	}
	log := &lines{ch: make(chan struct{}, 100)}
	nc, err := bus.Dial(t.Context(), s.ClientURL(), "fetcher", slog.New(slog.NewTextHandler(log, nil)), nats.UserInfo("w", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("not.mine", nil); err != nil {
		t.Fatal(err)
	}
	<-log.ch
	if got := log.String(); !strings.Contains(got, "denies") || !strings.Contains(got, "not.mine") || !strings.Contains(got, "fetcher") {
		t.Errorf("log says %q, want the worker and the subject", got)
	}
}

// A server that goes away and is back is told of, once each.
func TestAServerThatIsAwayIsToldOf(t *testing.T) {
	t.Parallel()
	begin := func(port int) *server.Server {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("server is not ready")
		}
		return s
	}
	s := begin(server.RANDOM_PORT)
	log := &lines{ch: make(chan struct{}, 1000)}
	nc, err := bus.Dial(t.Context(), s.ClientURL(), "fetcher", slog.New(slog.NewTextHandler(log, nil)),
		nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	said := func(what string) {
		t.Helper()
		for !strings.Contains(log.String(), what) {
			select {
			case <-log.ch:
			case <-time.After(time.Minute):
				t.Fatalf("it does not say %q, but\n%s", what, log)
			}
		}
	}
	port := s.Addr().(*net.TCPAddr).Port
	s.Shutdown()
	s.WaitForShutdown()
	said("lost the connection to NATS")
	said("cannot connect to NATS again")
	begin(port)
	said("connected to NATS again")
	if text := log.String(); strings.Count(text, "lost the connection") != 1 || strings.Count(text, "connected to NATS again") != 1 {
		t.Errorf("the log is\n%s", text)
	}
}
