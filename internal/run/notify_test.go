package run

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// The watchdog is fed as long as the process is alive, by its own word.
func TestSystemdIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	ctx, stop := context.WithCancel(t.Context())
	var still atomic.Bool
	notify(ctx, func() error {
		if still.Load() {
			return errors.New("ingest stands still")
		}
		return nil
	})
	buffer := make([]byte, 100)
	next := func() string {
		n, err := socket.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		return string(buffer[:n])
	}
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := next(); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	const standing = "STATUS=ingest stands still"
	still.Store(true)
	for next() != standing { // what was told before
	}
	for range 3 {
		if got := next(); got != standing {
			t.Errorf("told %q, want %q", got, standing)
		}
	}
	still.Store(false)
	for next() != "WATCHDOG=1" {
	}
	stop()
	for got := next(); got != "STOPPING=1"; got = next() {
		if got != "WATCHDOG=1" {
			t.Fatalf("told %q, want STOPPING=1", got)
		}
	}
}
