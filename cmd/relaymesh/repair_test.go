package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
)

// A damaged store is named, is set aside only when the operator says so, and
// its events are saved.
func TestDoctorRepairsTheStore(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	path := filepath.Join(data, "relay", "events.db")
	start := func() *homerelay.Relay {
		t.Helper()
		r, err := homerelay.Start(t.Context(), homerelay.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	r, notes := start(), hometest.Notes(20)
	hometest.Publish(t, r.URL(), notes...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := here("doctor", "--repair", "--data", data); code != run.ExitOK || !strings.Contains(stdout, "is well") {
		t.Errorf("before any damage: code %d, %s", code, stdout)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := 2 * os.Getpagesize(); page < len(file); page += os.Getpagesize() {
		file[page+9] ^= 0x40 // its flags
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = homerelay.Start(t.Context(), homerelay.Config{Path: path})
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "doctor --repair") {
		t.Errorf("a damaged store: %v", err)
	}
	code, stdout, stderr := here("doctor", "--repair", "--data", data)
	if code != run.ExitOK || !strings.Contains(stdout, "20 events were saved") {
		t.Errorf("code %d, %s%s", code, stdout, stderr)
	}
	if aside, _ := filepath.Glob(path + ".damaged-*"); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
	if got, want := hometest.IDsAt(t, start().URL()), hometest.IDsOf(notes...); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%d events are left of %d", len(got), len(want))
	}
}
