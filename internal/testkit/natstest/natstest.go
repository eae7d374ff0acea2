// Package natstest gives tests a real NATS server with JetStream on disk. It
// works inside a testing/synctest bubble, where a day of redeliveries and
// schedules passes in milliseconds. Bubbles with a server must not run in
// parallel: the client library pools timers, and a timer cannot leave its
// bubble.
package natstest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
)

// Main is for TestMain. The server has one goroutine per process, which must
// start outside every bubble. In a bubble goroutines mostly wait for each
// other: a second thread costs a third more than it gains, and the race
// detector of Go 1.26 crashes when two threads run timers of one bubble.
func Main(m *testing.M) {
	runtime.GOMAXPROCS(1)
	ats.Register()
	os.Exit(m.Run())
}

var dirs atomic.Int64

// Dir is a new directory for a server, until the test ends; in memory where
// Linux has files there, and space for them, as few containers have. In fake time
// a server writes a day's state in a moment, and half of a test's time would go
// to the disk.
func Dir(tb testing.TB) string {
	tb.Helper()
	const memory, space = "/dev/shm", 1 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memory, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < space { //nolint:gosec // a size
		return tb.TempDir()
	}
	// No random name: simulations count what they draw.
	dir := fmt.Sprintf("%s/relaymesh-test-%d-%d", memory, os.Getpid(), dirs.Add(1))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// Start runs a server in process on a new directory, with streams, consumers
// and buckets provisioned, until the test ends.
func Start(tb testing.TB) jetstream.JetStream {
	tb.Helper()
	return Provision(tb, StartOn(tb, Dir(tb)))
}

// StartOn runs a server in process on dir, until the test ends or closes it.
// It knows more users, if there are any.
func StartOn(tb testing.TB, dir string, more ...*server.User) *natsd.Server {
	tb.Helper()
	if os.Getenv("GOGC") != "off" { // or the process has one bubble only
		for range 2 { // empties every sync.Pool, and so the timers of the last bubble
			runtime.GC()
		}
	}
	s, err := natsd.Start(natsd.Config{
		Dir:          dir,
		SyncInterval: 1000 * time.Hour, // each would cost real time, and no test cuts the power
		MaxStore:     1 << 40,          // the bounds of all streams fit, however small the disk is
		Users:        append(users(), more...),
		Log:          slog.New(slog.NewTextHandler(tb.Output(), nil)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// operator is a user, and its password, who may do everything.
const operator = "operator"

// users are the operator, and each stage and the console with no more
// permissions than their own.
func users() []*server.User {
	list := []*server.User{{Username: operator, Password: operator}}
	for _, name := range append(contract.Stages(), contract.RoleConsole) {
		p, _ := contract.PermissionsOf(name)
		list = append(list, User(name, p))
	}
	return list
}

// User is a user for [natsd.Config] whose password is its name, in the account
// of the role of that name.
func User(name string, p contract.Permissions) *server.User {
	return &server.User{Username: name, Password: name, Permissions: natsd.Permissions(p), Account: natsd.AccountOf(name)}
}

// Provision makes streams, consumers and buckets and returns a connection.
func Provision(tb testing.TB, s *natsd.Server) jetstream.JetStream {
	tb.Helper()
	js := Connect(tb, s)
	if _, err := bus.Provision(context.Background(), js, bus.ProvisionOptions{}); err != nil {
		tb.Fatal(err)
	}
	return js
}

// Connect returns a connection in process, closed when the test ends.
func Connect(tb testing.TB, s *natsd.Server) jetstream.JetStream {
	tb.Helper()
	return ConnectAs(tb, s, "test", operator)
}

// ConnectAs returns a connection in process of that name as a user, closed when
// the test ends. The users of a stage and of the console bear its name.
func ConnectAs(tb testing.TB, s *natsd.Server, name, user string, opts ...nats.Option) jetstream.JetStream {
	tb.Helper()
	nc, err := s.Connect(name, append(opts, nats.UserInfo(user, user))...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(timeout))
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

// timeout of JetStream requests: in fake time it costs nothing, on a loaded machine it saves a test.
const timeout = 30 * time.Second
