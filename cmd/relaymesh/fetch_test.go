package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// thread signs a note, a reply to it, and a reply to a note that is nowhere.
func thread(t *testing.T, hint string) (root, reply, orphan nostr.Event) {
	t.Helper()
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	root = nostr.Event{Kind: 1, CreatedAt: 1_700_000_000, Content: "root"}
	reply = nostr.Event{Kind: 1, CreatedAt: 1_700_000_001, Content: "reply"}
	orphan = nostr.Event{Kind: 1, CreatedAt: 1_700_000_002, Tags: []nostr.Tag{{"e", strings.Repeat("0", 64), hint}}}
	for _, e := range []*nostr.Event{&root, &reply, &orphan} {
		if e == &reply {
			e.Tags = []nostr.Tag{{"e", root.ID, hint, "root"}}
		}
		if err := key.SignEvent(e); err != nil {
			t.Fatal(err)
		}
	}
	return root, reply, orphan
}

// idsIn reads what is printed: an event a line.
func idsIn(t *testing.T, stdout string) (ids []string) {
	t.Helper()
	for line := range strings.Lines(stdout) {
		e, err := nostr.ParseEvent([]byte(line))
		if err != nil {
			t.Errorf("%q: %v", line, err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

func TestFetchWithoutAPipeline(t *testing.T) {
	t.Parallel()
	url := hometest.Start(t)
	root, reply, orphan := thread(t, url)
	for _, e := range []nostr.Event{root, reply, orphan} {
		if err := reconcile.Write(t.Context(), hometest.Dial(t, url), e); err != nil {
			t.Fatal(err)
		}
	}
	fetch := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := here(append([]string{"fetch", "--relay", url, "--allow-private"}, args...)...)
		if code != want {
			t.Errorf("%q: exit code %d, want %d: %s", args, code, want, stderr)
		}
		return stdout, stderr
	}
	out, stderr := fetch(run.ExitOK, reply.ID)
	if !slices.Equal(idsIn(t, out), []string{reply.ID}) || !strings.Contains(stderr, url) {
		t.Errorf("printed %q and %q", out, stderr)
	}
	if out, _ = fetch(run.ExitOK, reply.ID, "--thread"); !slices.Equal(idsIn(t, out), []string{reply.ID, root.ID}) {
		t.Errorf("the thread: %s", out)
	}
	if out, stderr = fetch(run.ExitPartly, orphan.ID, "--thread"); !slices.Equal(idsIn(t, out), []string{orphan.ID}) ||
		!strings.Contains(stderr, "none of 1 relays") {
		t.Errorf("a thread that is cut off: %q, %q", out, stderr)
	}
	if out, stderr = fetch(run.ExitFailed, strings.Repeat("0", 64)); out != "" || !strings.Contains(stderr, "none of 1 relays") {
		t.Errorf("a note that is nowhere: %q, %q", out, stderr)
	}
	out, _ = fetch(run.ExitOK, reply.ID, "--json", "--thread")
	var got events.MissingNoteResponse
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Event == nil || got.RelayURL != url || len(got.Thread) != 1 ||
		got.Thread[0].Event.ID != root.ID {
		t.Errorf("%s, %v", out, err)
	}
}

func TestFetchRepeatsNoSecret(t *testing.T) {
	t.Parallel()
	secret := "nsec1" + strings.Repeat("q", 58)
	if code, _, stderr := here("fetch", "nostr:"+secret); code != run.ExitUsage || strings.Contains(stderr, secret) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestFetchUsage(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("0", 64)
	for want, args := range map[string][]string{
		"want note1":        {"hello"},
		"--author":          {id, "--author", "npub1x"},
		"--relay":           {id, "--relay", "ws://127.0.0.1:1"},
		"--dht-key":         {id, "--dht-key", "x"},
		"where shall":       {id},
		"which no code has": {"note1hello"},
		"is shortened":      {"note1qqqq…qqqq"},
	} {
		if code, _, stderr := here(append([]string{"fetch"}, args...)...); code != run.ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
}

// The code names two relays, one on this machine and one that is no URL.
func TestFetchSaysWhichHintsItDoesNotAsk(t *testing.T) {
	t.Parallel()
	const code = "nevent1qqsqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqpzpmhxw309" +
		"ucnydewxqhrqt338gcszytjv4kxz7fwv4uxzmtsd3jjucm0d5dtng3e"
	url := hometest.Start(t)
	for _, tc := range []struct {
		args []string
		code int
		want []string
	}{
		{nil, run.ExitUsage, []string{
			"ws://127.0.0.1:1", "(--allow-private permits it)", "relay.example.com", "(give the right one by --relay)", "where shall",
		}},
		{[]string{"--relay", url, "--allow-private"}, run.ExitFailed, []string{"not asked: relay url \"relay.example.com\""}},
	} {
		exit, _, stderr := here(append([]string{"fetch", code}, tc.args...)...)
		for _, want := range tc.want {
			if exit != tc.code || !strings.Contains(stderr, want) {
				t.Errorf("%q: exit code %d, %s, want %q", tc.args, exit, stderr, want)
			}
		}
	}
}

func TestFetchThroughAPipeline(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: "127.0.0.1:0", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	nc, err := server.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	far, home := hometest.Start(t), hometest.Start(t)
	root, reply, _ := thread(t, far)
	for _, e := range []nostr.Event{root, reply} {
		if err := reconcile.Write(t.Context(), hometest.Dial(t, far), e); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"fetch", reply.ID, "--nats", server.URL(), "--relay", far, "--thread"}
	if code, _, stderr := here(args...); code != run.ExitFailed || !strings.Contains(stderr, "is the pipeline running?") {
		t.Errorf("without fetchers: exit code %d, %s", code, stderr)
	}

	c := config.Config{Relay: home, AllowPrivate: true, Drain: 1, Fetch: config.Fetch{ThreadDepth: 2, ThreadCount: 2}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run.Run(ctx, c, js, log, []string{contract.StageFetcher}, func() {}) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var code int
	var stdout, stderr string
	for code = -1; code != run.ExitOK && t.Context().Err() == nil; { // until the fetcher serves
		if code, stdout, stderr = here(args...); code != run.ExitOK && !strings.Contains(stderr, "is the pipeline running?") {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
	}
	want := []string{reply.ID, root.ID}
	if !slices.Equal(idsIn(t, stdout), want) {
		t.Errorf("printed %s", stdout)
	}
	slices.Sort(want)
	if got := hometest.IDsAt(t, home); !slices.Equal(got, want) {
		t.Errorf("the pipeline's relay has %v, want what was found", got)
	}
}
