package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/relaymesh/relaymesh/internal/run"
)

// Whoever removes the data of what runs makes it end, for its supervisor to start it again, and the
// store of a relay is there again. What is left keeps it from no start.
func TestWhatLosesItsDataEndsForARestart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		up    string
		args  func(dir string) []string
		away  string // in the data directory
		again string
		disk  bool // of its own, which is unmounted
	}{
		"all of up":         {"relaymesh is up", func(dir string) []string { return quiet(dir) }, "", "relay/events.db", false},
		"the store of NATS": {"relaymesh is up", func(dir string) []string { return quiet(dir) }, "nats", "", false},
		"the relay's file":  {"relaymesh is up", func(dir string) []string { return quiet(dir) }, "relay/events.db", "relay/events.db", false},
		"the disk of up":    {"relaymesh is up", func(dir string) []string { return quiet(dir) }, "", "", true},
		"the list index": {"is up", func(dir string) []string {
			return []string{"index", "--data", dir, "--dht-listen", "127.0.0.1:0", "--dht-bootstrap", "127.0.0.1:1", "--listen", "127.0.0.1:0"}
		}, "index", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			path := filepath.Join(dir, c.away)
			remove := func() error { return errors.Join(os.Rename(path, path+".away"), os.RemoveAll(path+".away")) }
			if c.disk {
				mount(t, dir)
				remove = func() error { return syscall.Unmount(dir, syscall.MNT_DETACH) }
			}
			cmd := start(t, c.up, c.args(dir)...)
			if err := remove(); err != nil {
				t.Fatal(err)
			}
			if code := exited(t, cmd); code != run.ExitFailed {
				t.Errorf("exit code %d", code)
			}
			if info, err := os.Stat(filepath.Join(dir, c.again)); c.again != "" && (err != nil || info.Size() == 0) {
				t.Errorf("the store of the relay is not there: %v", err)
			}
			start(t, c.up, c.args(dir)...)
		})
	}
}

// mount makes a folder a disk of its own.
func mount(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3g"); err != nil {
		t.Skip("only root may mount a disk:", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }) // unless the test has done so
}
