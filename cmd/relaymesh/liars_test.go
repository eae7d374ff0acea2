package main

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	gonostr "github.com/nbd-wtf/go-nostr"

	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
)

// A relay that hides ids in sessions, and shows them by REQ, is not called proved, its
// events are not written to it again and again, and the exit code says so. So it is
// of one that keeps nothing.
func TestSyncWithLiars(t *testing.T) {
	t.Parallel()
	all := hometest.Notes(200)
	for _, dir := range []string{"up", "down", "both"} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			remote, err := khatrutest.Start(t.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { remote.Close() })
			hometest.Publish(t, remote.URL(), all...)
			hides := 0
			for _, e := range all {
				if e.ID < "e" {
					hides++
				}
			}
			remote.SetLies(khatrutest.Lies{Hides: func(e *gonostr.Event) bool { return e.ID < "e" }})
			var written atomic.Int32
			remote.SetPolicy(func(*gonostr.Event) string {
				written.Add(1)
				return ""
			})
			local := hometest.Start(t)
			if dir == "up" {
				hometest.Publish(t, local, all...)
			}
			code, stdout, stderr := relaymesh(t, "sync", local, remote.URL(), "--dir", dir)
			if code != run.ExitPartly || !strings.Contains(stdout, "events that its sessions do not list") ||
				strings.Contains(stdout, "complete and proved") || !strings.Contains(stdout, "complete by what is delivered") {
				t.Errorf("exit code %d, %s%s", code, stdout, stderr)
			}
			if n := written.Load(); n > 0 || hides < 150 || len(hometest.IDsAt(t, local)) != len(all) {
				t.Errorf("%d of %d hidden events were written again, %d arrived", n, hides, len(hometest.IDsAt(t, local)))
			}
		})
	}
	t.Run("keeps nothing", func(t *testing.T) {
		t.Parallel()
		remote, err := khatrutest.Start(t.Context(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { remote.Close() })
		remote.SetLies(khatrutest.Lies{Drops: func(*gonostr.Event) bool { return true }})
		code, stdout, stderr := relaymesh(t, "sync", hometest.Start(t, all...), remote.URL(), "--dir", "up", "--json")
		if code != run.ExitPartly || !strings.Contains(stdout, `"doubts":["ws`) || !strings.Contains(stdout, "is not written to any more") {
			t.Errorf("exit code %d, %s%s", code, stdout[max(0, len(stdout)-700):], stderr)
		}
	})
}
