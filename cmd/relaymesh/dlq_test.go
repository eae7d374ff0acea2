package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestDLQ(t *testing.T) {
	t.Parallel()
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	dlq := func(wantCode int, args ...string) string {
		t.Helper()
		code, stdout, stderr := here(append(append([]string{"dlq"}, args...), "--nats", server.URL())...)
		if code != wantCode {
			t.Errorf("dlq %q: exit code %d, want %d: %s", args, code, wantCode, stderr)
		}
		return stdout + stderr
	}
	if got := dlq(run.ExitFailed, "ls"); !strings.Contains(got, "has relaymesh provision run?") {
		t.Errorf("without streams: %s", got)
	}
	if code, _, stderr := here("provision", "--nats", server.URL()); code != 0 {
		t.Fatal(stderr)
	}
	js, err := run.Dial(t.Context(), server.URL(), config.NATSAuth{}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	for i, letter := range []contract.DeadLetter{
		{Stage: contract.StageIngest, Subject: events.SubjectEventReceived, Data: []byte("{\x1b[2J"), Reason: "not JSON\x1b[2J"},
		{
			Stage: contract.StageFetcher, Subject: contract.NoteMissingSubject("a"), Data: []byte("{}"), Reason: "gone",
			History: []contract.Failure{{Reason: "timeout", Attempts: 20}},
		},
		{Stage: contract.StageFetcher, Subject: contract.NoteMissingSubject("b"), Data: []byte("{}"), Reason: "too long", Size: 9},
	} {
		if _, err := js.Publish(t.Context(), contract.DLQSubject(letter.Stage), nostr.Encode(letter)); err != nil {
			t.Fatal(i, err)
		}
	}
	if got := dlq(0, "ls", "--stage", "ingest"); strings.Count(got, "\n") != 2 || !strings.Contains(got, "not JSON\uFFFD[2J") {
		t.Errorf("ls: %s", got)
	}
	if got := decode[contract.DeadLetter](t, dlq(0, "ls", "--json", "--reason", "GONE")); got.Subject != contract.NoteMissingSubject("a") {
		t.Errorf("ls --json: %+v", got)
	}
	if got := dlq(0, "show", "2"); !strings.Contains(got, "after 20 attempts: timeout") || !strings.Contains(got, "gone") {
		t.Errorf("show: %s", got)
	}
	for want, args := range map[string][]string{
		"which?":           {"retry"},
		"--all":            {"drop"},
		"--since":          {"ls", "--since", "yesterday"},
		"must be one of":   {"ls", "--stage", "nobody"},
		"expected a valid": {"show", "x"},
	} {
		if got := dlq(run.ExitUsage, args...); !strings.Contains(got, want) {
			t.Errorf("%q: %s", args, got)
		}
	}
	if got := dlq(run.ExitPartly, "retry", "--stage", "fetcher", "--since", "1970-01-01"); !strings.Contains(got, "retried 2") ||
		!strings.Contains(got, "dead letter 3") {
		t.Errorf("retry: %s", got)
	}
	stream, err := js.Stream(t.Context(), contract.StreamRetry)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d messages wait for their retry, want 1", n)
	}
	if got := dlq(0, "drop", "--all", "--json"); strings.Count(got, `"done":"dropped"`) != 2 {
		t.Errorf("drop: %s", got)
	}
	if got := dlq(0, "ls"); strings.Count(got, "\n") != 1 {
		t.Errorf("left over: %s", got)
	}
	if got := dlq(run.ExitPartly, "show", "99"); !strings.Contains(got, "dead letter 99") {
		t.Errorf("show of what is not there: %s", got)
	}
}
