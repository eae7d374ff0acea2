package main

import (
	"errors"
	"os"
	"path/filepath"
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
	}{
		"all of up":         {"relaymesh is up", func(dir string) []string { return quiet(dir) }, "", "relay/events.db"},
		"the store of NATS": {"relaymesh is up", func(dir string) []string { return quiet(dir) }, "nats", ""},
		"the relay's file":  {"relaymesh is up", func(dir string) []string { return quiet(dir) }, "relay/events.db", "relay/events.db"},
		"the list index": {"is up", func(dir string) []string {
			return []string{"index", "--data", dir, "--dht-listen", "127.0.0.1:0", "--dht-bootstrap", "127.0.0.1:1", "--listen", "127.0.0.1:0"}
		}, "index", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			cmd := start(t, c.up, c.args(dir)...)
			path := filepath.Join(dir, c.away)
			if err := errors.Join(os.Rename(path, path+".away"), os.RemoveAll(path+".away")); err != nil {
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
