package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// startHome returns the URL of a real relay with these events.
func startHome(t *testing.T, list ...nostr.Event) string {
	t.Helper()
	r, err := homerelay.Start(t.Context(), homerelay.Config{
		Path: filepath.Join(t.TempDir(), "relay.db"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	c := dialHome(t, r.URL())
	for _, e := range list {
		if err := reconcile.Write(t.Context(), c, e); err != nil {
			t.Fatal(err)
		}
	}
	return r.URL()
}

func dialHome(t *testing.T, url string) *relay.Conn {
	t.Helper()
	c, err := relay.Dial(t.Context(), url, relay.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func idsAt(t *testing.T, url string) []string {
	t.Helper()
	var ids []string
	for e, err := range dialHome(t, url).Query(t.Context(), nostr.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

// notes signs n events, a minute apart.
func notes(t *testing.T, n int, tags ...nostr.Tag) []nostr.Event {
	t.Helper()
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	out := make([]nostr.Event, n)
	for i := range out {
		out[i] = nostr.Event{Kind: 1, CreatedAt: 1_700_000_000 + int64(60*i), Content: "note", Tags: tags}
		if err := key.SignEvent(&out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func idsOf(list ...nostr.Event) []string {
	ids := make([]string, 0, len(list))
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

func TestSync(t *testing.T) {
	common, onlyA, onlyB := notes(t, 40), notes(t, 30), notes(t, 20)
	all := slices.Concat(common, onlyA, onlyB)
	for dir, want := range map[string][2][]nostr.Event{
		"both": {all, all},
		"down": {all, slices.Concat(common, onlyB)},
		"up":   {slices.Concat(common, onlyA), all},
		"none": {slices.Concat(common, onlyA), slices.Concat(common, onlyB)},
	} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			a, b := startHome(t, slices.Concat(common, onlyA)...), startHome(t, slices.Concat(common, onlyB)...)
			code, stdout, stderr := relaymesh(t, "sync", a, b, "--dir", dir)
			if code != run.ExitOK || !strings.Contains(stdout, "found 30 only in A, 20 only in B") || !strings.HasSuffix(stdout, "complete and proved\n") {
				t.Errorf("exit code %d, %s%s", code, stdout, stderr)
			}
			if !slices.Equal(idsAt(t, a), idsOf(want[0]...)) || !slices.Equal(idsAt(t, b), idsOf(want[1]...)) {
				t.Errorf("a has %d, want %d; b has %d, want %d", len(idsAt(t, a)), len(want[0]), len(idsAt(t, b)), len(want[1]))
			}
		})
	}
}

func TestSyncOfAFilter(t *testing.T) {
	list := notes(t, 10)
	a, b := startHome(t, list...), startHome(t)
	code, _, stderr := relaymesh(t, "sync", a, b, "--since", strconv.FormatInt(list[3].CreatedAt, 10), "--until", "2023-11-14T22:18:20Z",
		"--filter", `{"authors":["`+list[0].PubKey+`"]}`)
	if got := idsAt(t, b); code != run.ExitOK || !slices.Equal(got, idsOf(list[3:6]...)) {
		t.Errorf("exit code %d, %d events, %s", code, len(got), stderr)
	}
}

func TestSyncJSON(t *testing.T) {
	protected := notes(t, 1, nostr.Tag{"-"})
	code, stdout, stderr := syncLines(t, slices.Concat(notes(t, 5), protected), "-", startHome(t), "--dir", "up", "--json")
	if code != run.ExitOK || stdout != "" {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	summary, refused := decode[report](t, lines[len(lines)-1]), decode[map[string]string](t, lines[len(lines)-2])
	if summary.Type != "summary" || !*summary.Complete || summary.ToB != 5 || summary.OnlyA != 6 || summary.Left != 1 {
		t.Errorf("%+v", summary)
	}
	if refused["message_type"] != "refused" || refused["id"] != protected[0].ID || refused["why"] != "protected (NIP-70)" {
		t.Errorf("%+v", refused)
	}
}

// syncLines runs a sync with these events on standard input.
func syncLines(t *testing.T, list []nostr.Event, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := command(t, append([]string{"sync"}, args...)...)
	var in, out, errs bytes.Buffer
	for _, e := range list {
		if err := json.NewEncoder(&in).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &errs
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func readLines(t *testing.T, text string) (list []nostr.Event) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		list = append(list, decode[nostr.Event](t, line))
	}
	return list
}

func TestSyncWithLines(t *testing.T) {
	common, onlyA, onlyB := notes(t, 600), notes(t, 30), notes(t, 20)
	url := startHome(t, slices.Concat(common, onlyB)...)
	code, stdout, stderr := syncLines(t, slices.Concat(common, onlyA), "-", url)
	if code != run.ExitOK || !slices.Equal(idsOf(readLines(t, stdout)...), idsOf(onlyB...)) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if got := idsAt(t, url); !slices.Equal(got, idsOf(slices.Concat(common, onlyA, onlyB)...)) {
		t.Errorf("the relay has %d", len(got))
	}
	// Written to only, it is not read: the input may never end.
	code, stdout, stderr = syncLines(t, onlyB, url, "-", "--dir", "up")
	if code != run.ExitOK || len(readLines(t, stdout)) != 650 {
		t.Errorf("exit code %d, %d lines, %s", code, len(readLines(t, stdout)), stderr)
	}
}

func TestSyncThatIsRefusedInPartExitsWith3(t *testing.T) {
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	mine := nostr.Event{Kind: 1, CreatedAt: 1_700_000_000, Content: "mine"}
	if err := key.SignEvent(&mine); err != nil {
		t.Fatal(err)
	}
	deletion := nostr.Event{Kind: 5, CreatedAt: 1_700_000_001, Tags: []nostr.Tag{{"e", mine.ID}}}
	if err := key.SignEvent(&deletion); err != nil {
		t.Fatal(err)
	}
	url := startHome(t, deletion)
	code, _, stderr := syncLines(t, append(notes(t, 3), mine), "-", url, "--dir", "up")
	if code != run.ExitPartly || !strings.Contains(stderr, "its author deleted this event") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestSyncThatFailsExitsWith1(t *testing.T) {
	if code, _, stderr := relaymesh(t, "sync", "ws://127.0.0.1:1", startHome(t)); code != run.ExitFailed || !strings.Contains(stderr, "ws://127.0.0.1:1: ") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestSyncUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"both sides are":         {"ws://a.example", "ws://a.example/"},
		"both sides are -":       {"-", "-"},
		"scheme must be ws":      {"http://a.example", "-"},
		"not a JSON object":      {"ws://a.example", "-", "--filter", "[]"},
		"--filter: invalid":      {"ws://a.example", "-", "--filter", "kinds"},
		"unknown key":            {"ws://a.example", "-", "--filter", `{"search":"x"}`},
		"a limit has no meaning": {"ws://a.example", "-", "--filter", `{"limit":1}`},
		"--since: \"soon\"":      {"ws://a.example", "-", "--since", "soon"},
		"--dir must be one of":   {"ws://a.example", "-", "--dir", "sideways"},
		"--nsec-file:":           {"ws://a.example", "-", "--nsec-file", "/none"},
	} {
		if code, _, stderr := relaymesh(t, append([]string{"sync"}, args...)...); code != run.ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
	if code, stdout, _ := relaymesh(t, "sync", "--help"); code != 0 || !strings.Contains(stdout, "3 some events were refused") {
		t.Errorf("exit code %d, %s", code, stdout)
	}
}

func TestSyncInterruptedExitsWith130(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cmd := command(t, "sync", "ws://"+silent.Addr().String(), startHome(t))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := silent.Accept(); err != nil { // it is at work
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
	if code := cmd.ProcessState.ExitCode(); code != run.ExitInterrupted {
		t.Errorf("exit code %d", code)
	}
}
