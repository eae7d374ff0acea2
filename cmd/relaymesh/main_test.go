package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/run"
)

// patience is how long a test waits for what must come, on a machine however busy.
const patience = 3 * time.Minute

// TestMain lets the test binary be the command itself, so that tests run real
// processes of what they test, and the demo can start it.
func TestMain(m *testing.M) {
	if os.Getenv("RELAYMESH_TEST_EXECUTE") != "" {
		os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Setenv("RELAYMESH_TEST_EXECUTE", "1") // for what is started
	os.Exit(m.Run())
}

// command prepares a process of relaymesh that does not outlive the test.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// relaymesh runs a command to its end and returns its exit code and output.
func relaymesh(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := command(t, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestUsageErrorsExitWith2AndSayWhatToDo(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"see relaymesh --help":              {"nonsense"},
		"unknown flag --nonsense":           {"up", "--nonsense"},
		"see relaymesh up --help":           {"up", "--nonsense"},
		"see relaymesh dht verify --help":   {"dht", "verify", "hello", "--nats"},
		"see relaymesh resolve --help":      {"resolve", "hello"},
		"up has a NATS server of its own":   {"up", "--nats", "nats://x"},
		"--relay: relay url":                {"up", "--relay", "http://x"},
		"--relay-url: relay url \"wss://…@": {"config", "--relay-url", "wss://me:hunter2@relay.example.com"},
		"neither an npub nor the 64 hex":    {"resolve", "hello"},
		"npub:":                             {"resolve", "npub1hello"},
		"where shall the list be sent":      {"publish", "--relays", "wss://a.example", "--nsec-file", "/none"},
		"--nsec-file:":                      {"publish", "--relays", "wss://a.example", "--nsec-file", "/none", "--relay", "ws://127.0.0.1:1"},
		"--relays: relay url":               {"publish", "--relays", "ws://127.0.0.1", "--nsec-file", "/none", "--relay", "ws://127.0.0.1:1"},
		"--index-known: relay url":          {"resolve", "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6", "--index-known", "x"},
		"--kinds: 10002 is missing":         {"index", "--kinds", "0"},
		"--index-kinds: 1 is not":           {"up", "--index", "127.0.0.1:0", "--index-kinds", "1,10002", "--data", "/none"},
		"neither a DHT key":                 {"dht", "verify", "hello"},
		"must divide a minute":              {"up", "--sync-every", "7s"},
	} {
		if code, _, stderr := relaymesh(t, args...); code != run.ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit code %d, want %d; stderr %q, want %q", args, code, run.ExitUsage, stderr, want)
		}
	}
}

// What people give in place of what is wanted is named, with where it belongs.
func TestKeysOfTheWrongSortAreNamed(t *testing.T) {
	t.Parallel()
	const npub = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6"
	const nsec = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
	for want, args := range map[string][]string{
		"no DHT key: relaymesh resolve --json npub180cvv07": {"dht", "verify", npub},
		"it has 63 characters":                              {"resolve", strings.Repeat("a", 63)},
		"note1x\" is the id of an event: want a public key": {"resolve", "note1x"},
		"npub: public key: this is a secret key":            {"resolve", nsec},
		"0:3bf0c63fcb":                                      {"fetch", npub},
		"--dht-key: an npub is a Nostr key":                 {"fetch", strings.Repeat("a", 64), "--dht-key", npub},
		"--key: \"xx\" is not the 64 hex digits":            {"dht", "directory", "--key", "xx"},
		"--relay: relay url \"http":                         {"resolve", strings.Repeat("a", 64), "--relay", "http://x.example"},
		"--filter: filter: kinds: 70000":                    {"sync", "ws://a", "ws://b", "--filter", `{"kinds":[70000]}`},
		"--since: stands in the filter, too":                {"sync", "ws://a", "ws://b", "--filter", `{"since":1}`, "--since", "2"},
		"since: 6 is after until, 0":                        {"sync", "ws://a", "ws://b", "--filter", `{"since":6}`, "--until", "0"},
		"--authors: \"npubx\" has 5 characters":             {"up", "--authors", "npubx"},
	} {
		code, _, stderr := relaymesh(t, args...)
		if code != run.ExitUsage || !strings.Contains(stderr, want) || strings.Contains(stderr, nsec[:20]) {
			t.Errorf("%q: exit code %d, want %d; stderr %q, want %q", args, code, run.ExitUsage, stderr, want)
		}
	}
}

func TestHelpNamesTheExitCodes(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"resolve"}, {"publish"}, {"dht", "status"}, {"dht", "verify"}, {"dht", "directory"}, {"sync"}} {
		if code, stdout, _ := relaymesh(t, append(args, "--help")...); code != 0 || !strings.Contains(stdout, "Exit codes: 0 ok") {
			t.Errorf("%q: exit code %d, %s", args, code, stdout)
		}
	}
}

func TestNoServerExitsWith1AndNamesIt(t *testing.T) {
	t.Parallel()
	code, _, stderr := relaymesh(t, "status", "--nats", "nats://127.0.0.1:1")
	if code != run.ExitFailed || !strings.Contains(stderr, "is the server running there?") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// start starts a process and returns once it says that it is up.
func start(t *testing.T, up string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := command(t, args...)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan bool, 1)
	go func() {
		watch := &watcher{want: up, found: ready, log: t.Output()}
		_, _ = io.Copy(watch, pipe)
		watch.tell(false)
	}()
	select {
	case ok := <-ready:
		if !ok {
			t.Fatalf("%q ended before it was up", args)
		}
	case <-time.After(patience):
		t.Fatalf("%q is not up", args)
	}
	return cmd
}

// watcher logs what passes and tells when it has seen a text.
type watcher struct {
	want  string
	found chan bool
	log   io.Writer
	seen  bytes.Buffer
}

func (w *watcher) Write(p []byte) (int, error) {
	w.seen.Write(p)
	if strings.Contains(w.seen.String(), w.want) {
		w.tell(true)
		w.seen.Reset()
	}
	return w.log.Write(p)
}

func (w *watcher) tell(ok bool) {
	select {
	case w.found <- ok:
	default:
	}
}

// eventually runs a command again until check is satisfied.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestHelpSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	code, bare, _ := relaymesh(t)
	if _, page, _ := relaymesh(t, "--help"); code != run.ExitOK || bare != page || !strings.Contains(bare, "Run the whole pipeline") {
		t.Errorf("bare: exit code %d, %s", code, bare)
	}
	_, page, _ := relaymesh(t, "up", "--help")
	page = strings.Join(strings.Fields(page), " ")
	for _, part := range []string{"Default: 127.0.0.1:4222.", "--nats-max-store=SIZE", "$RELAYMESH_NATS_LISTEN", "--drain=20s"} {
		if !strings.Contains(page, part) {
			t.Errorf("the help of up lacks %q", part)
		}
	}
	for _, part := range []string{"--nats=URL", "--nats-creds", "--dag-dir"} {
		if strings.Contains(page, part) {
			t.Errorf("the help of up has %q", part)
		}
	}
}

// The commented file has every key and is such a file: read, it changes nothing.
func TestTheCommentedConfigIsAConfig(t *testing.T) {
	t.Parallel()
	args := []string{
		"--relay", "ws://127.0.0.1:7000", "--tail", "wss://a.example.com,wss://b.example.com", "--nats-max-store", "2GB", "--drain", "7s",
	}
	code, text, stderr := relaymesh(t, append([]string{"config", "--commented"}, args...)...)
	if code != 0 {
		t.Fatal(stderr)
	}
	path := t.TempDir() + "/config.yaml"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	type all struct {
		Settings []setting `json:"settings"`
	}
	_, given, _ := relaymesh(t, append([]string{"config", "--json"}, args...)...)
	code, read, stderr := relaymesh(t, "config", "--json", "--config", path)
	if code != 0 {
		t.Fatalf("%s\n%s", stderr, text)
	}
	want, got := decode[all](t, given).Settings, decode[all](t, read).Settings
	for i, s := range got {
		a, _ := json.Marshal(want[i].Value)
		b, _ := json.Marshal(s.Value)
		if s.Key != want[i].Key || !bytes.Equal(a, b) {
			t.Errorf("%s is %s, want %s", s.Key, b, a)
		}
		if !strings.Contains(text, "\n"+s.Key+": ") && !strings.Contains(text, "\n# "+s.Key+": ") {
			t.Errorf("it lacks %s", s.Key)
		}
	}
}
