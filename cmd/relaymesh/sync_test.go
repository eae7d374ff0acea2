package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestSync(t *testing.T) {
	t.Parallel()
	common, onlyA, onlyB := hometest.Notes(40), hometest.Notes(30), hometest.Notes(20)
	all := slices.Concat(common, onlyA, onlyB)
	for dir, want := range map[string][2][]nostr.Event{
		"both": {all, all},
		"down": {all, slices.Concat(common, onlyB)},
		"up":   {slices.Concat(common, onlyA), all},
		"none": {slices.Concat(common, onlyA), slices.Concat(common, onlyB)},
	} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			a, b := hometest.Start(t, slices.Concat(common, onlyA)...), hometest.Start(t, slices.Concat(common, onlyB)...)
			code, stdout, stderr := relaymesh(t, "sync", a, b, "--dir", dir)
			if code != run.ExitOK || !strings.Contains(stdout, "found 30 only in A, 20 only in B") ||
				!strings.HasSuffix(stdout, "complete and proved\n") {
				t.Errorf("exit code %d, %s%s", code, stdout, stderr)
			}
			if !slices.Equal(hometest.IDsAt(t, a), hometest.IDsOf(want[0]...)) || !slices.Equal(hometest.IDsAt(t, b), hometest.IDsOf(want[1]...)) {
				t.Errorf("a has %d, want %d; b has %d, want %d", len(hometest.IDsAt(t, a)), len(want[0]), len(hometest.IDsAt(t, b)), len(want[1]))
			}
		})
	}
}

func TestSyncOfAFilter(t *testing.T) {
	t.Parallel()
	list := hometest.Notes(10)
	a, b := hometest.Start(t, list...), hometest.Start(t)
	code, _, stderr := relaymesh(t, "sync", a, b, "--since", strconv.FormatInt(list[3].CreatedAt, 10), "--until", "2023-11-14T22:13:21Z",
		"--filter", `{"authors":["`+list[0].PubKey+`"]}`)
	if got := hometest.IDsAt(t, b); code != run.ExitOK || !slices.Equal(got, hometest.IDsOf(list[3:6]...)) {
		t.Errorf("exit code %d, %d events, %s", code, len(got), stderr)
	}
}

func TestSyncJSON(t *testing.T) {
	t.Parallel()
	protected := hometest.Notes(1, nostr.Tag{"-"})
	code, stdout, stderr := syncLines(t, slices.Concat(hometest.Notes(5), protected), "-", hometest.Start(t), "--dir", "up", "--json")
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
	t.Parallel()
	common, onlyA, onlyB := hometest.Notes(600), hometest.Notes(30), hometest.Notes(20)
	url := hometest.Start(t, slices.Concat(common, onlyB)...)
	code, stdout, stderr := syncLines(t, slices.Concat(common, onlyA), "-", url)
	if code != run.ExitOK || !slices.Equal(hometest.IDsOf(readLines(t, stdout)...), hometest.IDsOf(onlyB...)) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if got := hometest.IDsAt(t, url); !slices.Equal(got, hometest.IDsOf(slices.Concat(common, onlyA, onlyB)...)) {
		t.Errorf("the relay has %d", len(got))
	}
	// Written to only, it is not read: the input may never end.
	code, stdout, stderr = syncLines(t, onlyB, url, "-", "--dir", "up")
	if code != run.ExitOK || len(readLines(t, stdout)) != 650 {
		t.Errorf("exit code %d, %d lines, %s", code, len(readLines(t, stdout)), stderr)
	}
}

// Lines come from Windows, too; those that are no events are told by their number.
func TestSyncOfLinesAsPeopleHaveThem(t *testing.T) {
	t.Parallel()
	list, url := hometest.Notes(2), hometest.Start(t)
	in := "\ufeff" + string(nostr.Encode(list[0])) + "\r\n\r\n" +
		strings.Repeat("x", 2<<20) + "\r\n{\"id\":\"\u009b2J\"}\n" + string(nostr.Encode(list[1]))
	for args, want := range map[string][]string{
		"--dir up":        {"line 3: no event: event: more than", "line 4: no event: id: want"},
		"--dir up --json": {`{"message_type":"unreadable","line":3,"why":"event: more than`, `"line":4,"why":"id: want`},
	} {
		cmd := command(t, slices.Concat([]string{"sync", "-", url}, strings.Fields(args))...)
		var errs bytes.Buffer
		cmd.Stdin, cmd.Stderr = strings.NewReader(in), &errs
		_ = cmd.Run() // the exit code tells
		if code := cmd.ProcessState.ExitCode(); code != run.ExitPartly || !slices.Equal(hometest.IDsAt(t, url), hometest.IDsOf(list...)) {
			t.Errorf("%s: exit code %d, %s", args, code, errs.String())
		}
		for _, part := range want {
			if !strings.Contains(errs.String(), part) {
				t.Errorf("%s: %q is not in %s", args, part, errs.String())
			}
		}
	}
}

func TestSyncThatIsRefusedInPartExitsWith3(t *testing.T) {
	t.Parallel()
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
	url := hometest.Start(t, deletion)
	code, _, stderr := syncLines(t, append(hometest.Notes(3), mine), "-", url, "--dir", "up")
	if code != run.ExitPartly || !strings.Contains(stderr, "its author deleted this event") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestSyncThatFailsExitsWith1(t *testing.T) {
	t.Parallel()
	if code, _, stderr := relaymesh(t, "sync", "ws://127.0.0.1:1", hometest.Start(t)); code != run.ExitFailed ||
		!strings.Contains(stderr, "ws://127.0.0.1:1: no connection: connection refused") || strings.Contains(stderr, "tried again") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestSyncUsage(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cmd := command(t, "sync", "ws://"+silent.Addr().String(), hometest.Start(t))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := silent.Accept(); err != nil { // it is at work
		t.Fatal(err)
	}
	interrupt := syscall.SIGINT
	if signal.Ignored(interrupt) { // as in the background of a shell, and by what is started there
		interrupt = syscall.SIGTERM
	}
	if err := cmd.Process.Signal(interrupt); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	if code := cmd.ProcessState.ExitCode(); code != run.ExitInterrupted {
		t.Errorf("exit code %d", code)
	}
}
