package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/console"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// One console shows the pipelines that share an account by prefixes, each with what is its own, and its metrics by name.
func TestOneConsoleShowsPipelinesByPrefix(t *testing.T) {
	t.Parallel()
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	now := time.Now().Unix()
	for prefix, users := range map[contract.Prefix]int{"": 1, "alice": 2} {
		if code, _, stderr := here("provision", "--nats", server.URL(), "--nats-prefix", string(prefix)); code != run.ExitOK {
			t.Fatal(stderr)
		}
		js, err := run.Dial(t.Context(), server.URL(), config.NATSAuth{NATSPrefix: prefix}, "test", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(js.Conn().Close)
		send := func(subject string, value any) {
			if _, err := js.Publish(t.Context(), subject, nostr.Encode(value)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range users {
			send("$KV."+contract.BucketAuthors+"."+strings.Repeat(string(rune('a'+i)), 64), contract.Author{LastSeen: now})
		}
		send("$KV."+contract.BucketWorkers+".up.1",
			contract.Worker{Stages: contract.Stages(), Version: "of " + string(prefix), At: now, Started: now})
		send(events.SubjectNoteFound, events.MissingNoteResponse{EventID: string(prefix), Found: true})
	}
	c := consoleCmd{remote: remote{NATS: server.URL()}, ConsolePrefixes: []contract.Prefix{"alice", noPrefix}}
	metrics := prometheus.NewRegistry()
	pages, pipelines, err := c.pages(t.Context(), metrics, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- pages.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ended
		for _, js := range pipelines {
			js.Conn().Close()
		}
	})
	ask := func(path string, to any) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, nil)
		r.Header.Set("Accept", "application/json")
		rec := httptest.NewRecorder()
		pages.ServeHTTP(rec, r)
		if err := json.Unmarshal(rec.Body.Bytes(), to); err != nil {
			t.Fatalf("%s: %v, %s", path, err, rec.Body)
		}
	}
	for name, want := range map[string]struct {
		users   int
		version string
	}{noPrefix: {1, "of "}, "alice": {2, "of alice"}} {
		var is console.PipelineRow
		for !is.Summary.Whole {
			var all struct{ Pipelines []console.PipelineRow }
			ask("/", &all)
			for _, row := range all.Pipelines {
				if row.Name == name {
					is = row
				}
			}
			time.Sleep(time.Millisecond)
		}
		if is.Summary.Users.All != want.users || is.Version != want.version || len(is.Wrong) != 0 {
			t.Errorf("%s is %+v", name, is)
		}
		var done struct {
			Outcomes []struct{ Subject string }
		}
		ask("/pipelines/"+name+"/outcomes?what=note.found", &done)
		if len(done.Outcomes) != 1 || done.Outcomes[0].Subject != events.SubjectNoteFound {
			t.Errorf("%s has done %+v", name, done)
		}
	}
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "relaymesh_users" && len(f.GetMetric()) != 2 {
			t.Errorf("users are %v", f)
		}
	}
	for _, bad := range [][]contract.Prefix{{"a.b"}, {"alice", "alice"}} {
		c.ConsolePrefixes = bad
		_, open, err := c.pages(t.Context(), metrics, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "--console-prefixes") {
			t.Errorf("%q: %v", bad, err)
		}
		for _, js := range open {
			js.Conn().Close()
		}
	}
}
