package run

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gonostr "github.com/nbd-wtf/go-nostr"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// liar is a khatru relay that counts what is written to it.
type liar struct {
	*khatrutest.Relay

	written atomic.Int32
}

func startLiar(t *testing.T, list ...nostr.Event) *liar {
	t.Helper()
	r, err := khatrutest.Start(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	hometest.Publish(t, r.URL(), list...)
	l := &liar{Relay: r}
	r.SetPolicy(func(*gonostr.Event) string {
		l.written.Add(1)
		return ""
	})
	return l
}

// foreign are events as khatru has them.
func foreign(t *testing.T, list []nostr.Event) (out []*gonostr.Event) {
	t.Helper()
	for _, e := range list {
		f := &gonostr.Event{}
		if err := json.Unmarshal(nostr.Encode(e), f); err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// A relay that contradicts itself is found out in the first sync, and the second goes
// by that: it is listed, or not written to.
func TestRelaysThatContradictThemselves(t *testing.T) {
	t.Parallel()
	everything := func(*gonostr.Event) bool { return true }
	for name, c := range map[string]struct {
		has, most int // events at the start, and events that may be written to it in both syncs
		lies      func(all []nostr.Event) khatrutest.Lies
		forgets   bool // between the syncs
		says      string
		want      contract.Doubt
	}{
		"hides ids": {
			has: 200, most: 0, says: "its sessions do not list", want: contract.Doubt{Listed: true},
			lies: func([]nostr.Event) khatrutest.Lies {
				return khatrutest.Lies{Hides: func(e *gonostr.Event) bool { return e.ID < "e" }}
			},
		},
		"lists ids and stores nothing": {
			most: 200, says: "its sessions list", want: contract.Doubt{Listed: true, Unwritten: true},
			lies: func(all []nostr.Event) khatrutest.Lies {
				return khatrutest.Lies{Claims: foreign(t, all), Drops: everything}
			},
		},
		"says OK and stores nothing": {
			most: 200, says: "said OK", want: contract.Doubt{Unwritten: true},
			lies: func([]nostr.Event) khatrutest.Lies { return khatrutest.Lies{Drops: everything} },
		},
		"stores and loses": {
			most: 400, says: "said OK", want: contract.Doubt{Unwritten: true}, forgets: true,
			lies: func([]nostr.Event) khatrutest.Lies { return khatrutest.Lies{} },
		},
		"is honest": {most: 200, lies: func([]nostr.Event) khatrutest.Lies { return khatrutest.Lies{} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := hometest.Notes(200)
			remote := startLiar(t, all[:c.has]...)
			local := hometest.Start(t, all...)
			remote.SetLies(c.lies(all))
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte("streams: {all: {dir: both}}"), 0o600); err != nil {
				t.Fatal(err)
			}
			w := startSyncworker(t, config.Config{
				File: file, Relay: local, AllowPrivate: true, SyncEvery: 15 * time.Minute, Drain: 5 * time.Second,
			})
			w.link(remote.URL(), all[0].PubKey)
			syncs, err := OpenStore[contract.Sync](t.Context(), w.js, contract.BucketSyncs, nil)
			if err != nil {
				t.Fatal(err)
			}
			first := w.sync(remote.URL(), "1")
			if c.forgets {
				remote.Forget()
				first = w.sync(remote.URL(), "2")
			}
			s, _, err := syncs.Get(t.Context(), nostr.RelayKey(remote.URL()))
			got := contract.Doubt{}
			if s.Doubt != nil {
				got = contract.Doubt{Listed: s.Doubt.Listed, Unwritten: s.Doubt.Unwritten}
			}
			if err != nil || !first.OK || !strings.Contains(first.Why, c.says) || got != c.want {
				t.Fatalf("%v, %+v, %+v", err, first, s.Doubt)
			}
			before := remote.written.Load()
			second := w.sync(remote.URL(), "3")
			if !second.OK || !strings.Contains(second.Why, c.says) || remote.written.Load() != before || int(before) > c.most {
				t.Errorf("%d and %d were written: %+v", before, remote.written.Load()-before, second)
			}
		})
	}
}
