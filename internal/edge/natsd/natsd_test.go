package natsd_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
)

func TestSecondServerOnTheSameDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := start(t, natsd.Config{Dir: dir, MaxStore: 1 << 40})
	_, err := natsd.Start(natsd.Config{Dir: dir, MaxStore: 1 << 40})
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "another relaymesh") {
		t.Fatalf("second server on %s: %v, want an error that names the directory and who holds it", dir, err)
	}
	first.Close()
	start(t, natsd.Config{Dir: dir, MaxStore: 1 << 40})
}

func TestAcknowledgedMessagesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	s := start(t, natsd.Config{Dir: dir, MaxStore: 1 << 40})
	nc := connect(t, s)
	js, _ := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	s.Close()

	js, _ = jetstream.New(connect(t, start(t, natsd.Config{Dir: dir, MaxStore: 1 << 40})))
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if msg, err := stream.GetMsg(t.Context(), 1); err != nil || string(msg.Data) != "kept" {
		t.Fatalf("message after restart: %v, %v", msg, err)
	}
}

func TestListening(t *testing.T) {
	if url := start(t, natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40}).URL(); url != "" {
		t.Errorf("a server without a listen address has URL %q", url)
	}
	s := start(t, natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: "127.0.0.1:0"})
	nc, err := bus.Dial(t.Context(), s.URL(), "worker.1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if inbox := nc.NewInbox(); !strings.HasPrefix(inbox, "_INBOX_worker_1.") {
		t.Errorf("inbox %s lacks the worker's own prefix", inbox)
	}
	if got := nc.MaxPayload(); got != natsd.MaxPayload {
		t.Errorf("max payload %d, want %d", got, natsd.MaxPayload)
	}
	if _, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Listen: "4222"}); err == nil || !strings.Contains(err.Error(), "host:port") {
		t.Errorf("listen address without a host: %v", err)
	}
}

func TestDialWaitsForTheServerUntilTheContextEnds(t *testing.T) {
	s := start(t, natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: loopback.Addr()})
	url := s.URL()
	s.Close()

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	secret := strings.Replace(url, "://", "://user:secret@", 1)
	_, err := bus.Dial(short, secret, "w", slog.New(slog.DiscardHandler))
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), url[len("nats://"):]) {
		t.Fatalf("dial a dead server: %v, want an error with its address and without the password", err)
	}

	dialled := make(chan error, 1)
	go func() {
		nc, err := bus.Dial(t.Context(), url, "w", slog.New(slog.DiscardHandler), nats.ReconnectWait(10*time.Millisecond))
		if err == nil {
			nc.Close()
		}
		dialled <- err
	}()
	start(t, natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: url[len("nats://"):]})
	if err := <-dialled; err != nil {
		t.Fatal(err)
	}
}

// slow is a server whose first words come later than the client library waits for by
// itself.
type slow struct{ *natsd.Server }

func (s slow) InProcessConn() (net.Conn, error) {
	conn, err := s.Server.InProcessConn()
	return &slowConn{Conn: conn}, err
}

type slowConn struct {
	net.Conn
	once sync.Once
}

func (c *slowConn) Read(p []byte) (int, error) {
	c.once.Do(func() { time.Sleep(nats.DefaultTimeout + 500*time.Millisecond) })
	return c.Conn.Read(p)
}

func TestABusyServerIsConnectedTo(t *testing.T) {
	t.Parallel()
	s := start(t, natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Users: []*server.User{{Username: "u", Password: "p"}}})
	nc, err := s.Connect("test", nats.InProcessServer(slow{s}), nats.UserInfo("u", "p"))
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

func start(t *testing.T, c natsd.Config) *natsd.Server {
	t.Helper()
	s, err := natsd.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func connect(t *testing.T, s *natsd.Server) *nats.Conn {
	t.Helper()
	nc, err := s.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}
