package run

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A relay in the middle that cannot be reached gives way to the next at once.
func TestAGroupWithoutItsMiddle(t *testing.T) {
	t.Parallel()
	own := hometest.Notes(4)
	a, b := hometest.Start(t, own[:2]...), hometest.Start(t, own[2:]...)
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "streams: {all: {mirror: [ws://127.0.0.1:1, %s, %s]}}", a, b), 0o600); err != nil {
		t.Fatal(err)
	}
	startSyncworker(t, config.Config{
		Relay: hometest.Start(t), File: file, AllowPrivate: true, SyncEvery: 15 * time.Minute, Drain: 5 * time.Second,
	})
	for _, url := range []string{a, b} {
		if !until(t, 2*time.Minute, func() bool { return slices.Equal(hometest.IDsAt(t, url), hometest.IDsOf(own...)) }) {
			t.Errorf("%s has %d events", url, len(hometest.IDsAt(t, url)))
		}
	}
}

// Three relays are kept equal: by two rounds of syncs with the first, and live from
// then on. The local relay has no part in it unless it is among them.
func TestAGroupIsKeptEqual(t *testing.T) {
	t.Parallel()
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	for name, with := range map[string]bool{"without the local relay": false, "with it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			local := hometest.Start(t)
			var urls []string
			var all []nostr.Event
			for range 3 {
				own := hometest.Notes(5)
				all = append(all, own...)
				urls = append(urls, hometest.Start(t, own...))
			}
			members := slices.Clone(urls)
			if with {
				members = append(members, local)
			}
			equal := func(list []nostr.Event) func() bool {
				return func() bool {
					for _, url := range members {
						if !slices.Equal(hometest.IDsAt(t, url), hometest.IDsOf(list...)) {
							return false
						}
					}
					return true
				}
			}
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, fmt.Appendf(nil, "streams: {all: {mirror: [%s]}}", strings.Join(members, ", ")), 0o600); err != nil {
				t.Fatal(err)
			}
			w := startSyncworker(t, config.Config{
				Relay: local, File: file, AllowPrivate: true, SyncEvery: 15 * time.Minute, Drain: 5 * time.Second, Sync: config.Syncing{Live: 10},
			})
			round, synced := 0, urls
			if !with {
				synced = urls[1:] // the first is in the middle
			}
			for !equal(all)() {
				if round++; round > 5 {
					t.Fatal("they are not equal")
				}
				for _, url := range synced {
					if r := w.sync(url, fmt.Sprint("round ", round)); !r.OK {
						t.Fatalf("%+v", r)
					}
				}
			}
			for _, url := range urls {
				e := nostr.Event{Kind: 1, CreatedAt: time.Now().Unix(), Content: url}
				if err := key.SignEvent(&e); err != nil {
					t.Fatal(err)
				}
				hometest.Publish(t, url, e)
				all = append(all, e)
			}
			if !until(t, 2*time.Minute, equal(all)) {
				t.Error("what one received live, others have not")
			}
			if got := hometest.IDsAt(t, local); !with && len(got) != 0 {
				t.Errorf("the local relay has %d events", len(got))
			}
		})
	}
}
