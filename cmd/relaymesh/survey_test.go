package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestSurvey(t *testing.T) {
	t.Parallel()
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", MaxStore: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	survey := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := here(append(append([]string{"survey"}, args...), "--nats", server.URL())...)
		if code != 0 {
			t.Fatalf("survey %q: exit code %d: %s", args, code, stderr)
		}
		return stdout
	}
	if code, _, stderr := here("provision", "--nats", server.URL()); code != 0 {
		t.Fatal(stderr)
	}
	if got := survey(); got != "nothing was surveyed yet\n" {
		t.Errorf("at first: %s", got)
	}
	js, err := run.Dial(t.Context(), server.URL(), config.NATSAuth{}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	put := func(bucket, key string, v any) {
		t.Helper()
		kv, err := js.KeyValue(t.Context(), bucket)
		if err == nil {
			_, err = kv.Put(t.Context(), key, nostr.Encode(v))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const proves, pages = "wss://proves.example.com", "wss://pages.example.com"
	now := time.Now().Unix()
	put(contract.BucketRelays, nostr.RelayKey(proves), contract.Relay{URL: proves})
	put(contract.BucketRelays, nostr.RelayKey(pages), contract.Relay{URL: pages, SurveyFault: "cut\x1b[2J"})
	put(contract.BucketSurveys, "a", contract.Survey{Split: true})
	put(contract.BucketSurveys, "a0", contract.Survey{Authors: 300, Passed: now, Bytes: 1 << 20, Looks: map[string]contract.Look{
		nostr.RelayKey(proves): {At: now - 60, All: 7, Whole: true},
		nostr.RelayKey(pages):  {At: now - 60, All: 2, Whole: true, Paged: true},
	}})
	const why = "the local relay does not keep"
	put(contract.BucketSurveys, "a1", contract.Survey{Authors: 200, Passed: now, Why: why, Looks: map[string]contract.Look{
		nostr.RelayKey(proves): {At: now - 30*24*3600, All: 5, Whole: true},
	}})
	got := survey()
	for _, want := range []string{"a0     300", "a1     200", "does not keep", "cut\uFFFD[2J"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing: %s", want, got)
		}
	}
	lines := strings.Split(strings.TrimSpace(survey("--json")), "\n")
	if len(lines) != 4 {
		t.Fatalf("--json: %q", lines)
	}
	first, relay := decode[surveyedSlice](t, lines[0]), decode[surveyedRelay](t, lines[2])
	if first.Slice != "a0" || first.Whole != 2 || first.Yielded != 9 || first.Relays != 2 {
		t.Errorf("slice %+v", first)
	}
	if relay.URL != proves || relay.Slices != 2 || relay.Whole != 1 || relay.Proved != 1 || relay.Yielded != 12 || relay.At != now-60 {
		t.Errorf("relay %+v", relay)
	}
	if got := survey("--start"); got != "2 slices are due\n" {
		t.Errorf("--start: %s", got)
	}
	stream, err := js.Stream(t.Context(), contract.StreamSurveyDue)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.GetLastMsgForSubject(t.Context(), contract.SurveyDueSubject("a1")); err != nil || string(m.Data) != `{"slice":"a1"}` {
		t.Errorf("a1 is due by %v, %v", m, err)
	}
}
