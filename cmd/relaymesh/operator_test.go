package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// here runs a command in this process. Logs of up come from many goroutines, a
// last one of the DHT library after its end.
func here(args ...string) (code int, stdout, stderr string) {
	var out, errs locked
	code = execute(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestEveryHelpNamesItsExitCodes(t *testing.T) {
	t.Parallel()
	var c cli
	app := kong.Must(&c, kong.Vars{"version": ""}).Model
	pages := 0
	var visit func(node *kong.Node, args []string)
	visit = func(node *kong.Node, args []string) {
		for _, child := range node.Children {
			visit(child, append(args[:len(args):len(args)], child.Name))
		}
		pages++
		if code, stdout, _ := here(append(args, "--help")...); code != run.ExitOK || !strings.Contains(stdout, "Exit codes: 0 ") {
			t.Errorf("help of %q: exit code %d, %s", args, code, stdout)
		}
	}
	visit(app.Node, nil)
	if pages < 10 {
		t.Errorf("looked at %d pages only", pages)
	}
}

func TestConfigTellsWhereEachValueComesFrom(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("drain: 7s\nsync-every: 1h\ntail: [wss://a.example]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RELAYMESH_SYNC_EVERY", "30m")
	args := []string{"config", "--config", file, "--nats", "nats://me:secret@host:4222", "--refresh-every", "6h"}
	code, stdout, stderr := here(append(args, "--json")...)
	if code != run.ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var got struct{ Settings []setting }
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	from := map[string]string{}
	for _, s := range got.Settings {
		from[s.Key] = s.From
		if s.Value == nil {
			t.Errorf("%s is null", s.Key)
		}
	}
	for key, want := range map[string]string{
		"drain": "file", "tail": "file", "sync-every": "environment", "refresh-every": "flag", "resolve-every": "default", "nats": "flag",
	} {
		if from[key] != want {
			t.Errorf("%s is from %q, want %q", key, from[key], want)
		}
	}
	if strings.Contains(stdout, "secret") {
		t.Errorf("tells a password: %s", stdout)
	}

	// What it prints is a config file that means the same.
	code, stdout, stderr = here(args...)
	if code != run.ExitOK || !strings.Contains(stdout, `sync-every: "30m0s"  # environment`) {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	printed := filepath.Join(t.TempDir(), "printed.yaml")
	if err := os.WriteFile(printed, []byte(stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	_, again, stderr := here("config", "--config", printed)
	for line := range strings.Lines(stdout) {
		if setting, _, _ := strings.Cut(line, "  # "); !strings.Contains(again, setting) {
			t.Errorf("%q got lost: %s%s", setting, again, stderr)
		}
	}
}

func TestConfigNamesTheNearestKey(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("dht-bootstap: [a:1]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := here("config", "--config", file)
	if code != run.ExitUsage || !strings.Contains(stderr, `unknown key "dht-bootstap"; did you mean "dht-bootstrap"?`) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestFailuresAreJSONWithJSON(t *testing.T) {
	t.Parallel()
	code, _, stderr := here("resolve", "--json", "hello")
	var got struct {
		Type string `json:"message_type"`
		Code int    `json:"code"`
		Why  string `json:"error"`
	}
	if err := json.Unmarshal([]byte(stderr), &got); err != nil || got.Type != "exit_error" || got.Code != code || code != run.ExitUsage ||
		got.Why == "" {
		t.Errorf("exit code %d, %v: %s", code, err, stderr)
	}
}

func TestCompletionAndManual(t *testing.T) {
	t.Setenv("COMP_LINE", "relaymesh do")
	t.Setenv("COMP_POINT", "12")
	if code, stdout, stderr := relaymesh(t, "x"); code != 0 || strings.TrimSpace(stdout) != "doctor" {
		t.Errorf("completion: exit code %d, %s%s", code, stdout, stderr)
	}
	if err := os.Unsetenv("COMP_LINE"); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := here("man"); code != 0 || !strings.Contains(stdout, `.TH RELAYMESH 1 "" `) ||
		!strings.Contains(stdout, ".SH EXIT STATUS") || !strings.Contains(stdout, "doctor") {
		t.Errorf("manual: exit code %d, %.400s", code, stdout)
	}
}

// doctor runs relaymesh doctor and returns which checks were not ok.
func doctor(t *testing.T, args ...string) (code int, failed []string) {
	t.Helper()
	code, stdout, stderr := here(append([]string{"doctor", "--json", "--timeout", "30s"}, args...)...)
	var got struct {
		OK       bool
		Findings []finding
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	for _, f := range got.Findings {
		t.Logf("%+v", f)
		if !f.OK {
			failed = append(failed, f.Area+"/"+f.Check)
			if f.Do == "" {
				t.Errorf("%s/%s failed, and nobody says what to do", f.Area, f.Check)
			}
		}
	}
	if got.OK != (len(failed) == 0) || (code == run.ExitOK) != got.OK {
		t.Errorf("ok is %t, exit code %d, but %d checks failed", got.OK, code, len(failed))
	}
	return code, failed
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	home, err := homerelay.Start(t.Context(), homerelay.Config{Addr: "127.0.0.1:0", Path: filepath.Join(t.TempDir(), "events.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { home.Close() })
	args := []string{
		"--nats", server.URL(), "--relay", home.URL(), "--allow-private",
		"--dht-listen", "127.0.0.1:0", "--dht-bootstrap", strings.Join(network(t).Bootstrap(), ","),
	}
	if _, failed := doctor(t, args...); len(failed) != 1 || failed[0] != "nats/streams" {
		t.Errorf("before provision these failed: %q", failed)
	}
	if code, _, stderr := here("provision", "--nats", server.URL()); code != 0 {
		t.Fatal(stderr)
	}
	if _, failed := doctor(t, args...); len(failed) != 0 {
		t.Errorf("with all in order these failed: %q", failed)
	}

	js, err := run.Dial(t.Context(), server.URL(), config.NATSAuth{}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	tell := func(g contract.GatewayProcess) {
		t.Helper()
		if _, err := js.Publish(t.Context(), "$KV."+contract.BucketGateways+".a", nostr.Encode(g)); err != nil {
			t.Fatal(err)
		}
	}
	tell(contract.GatewayProcess{Wrong: "connection refused\x1b[2J"})
	if _, failed := doctor(t, args...); strings.Join(failed, " ") != "nats/gateways" {
		t.Errorf("with a gateway whose relay is away these failed: %q", failed)
	}
	tell(contract.GatewayProcess{Gateway: contract.Gateway{Connections: 3}})
	process := func(said time.Time, c contract.Condition) {
		t.Helper()
		w := contract.Worker{Stages: []string{contract.StageIngest}, At: said.Unix(), Conditions: []contract.Condition{c}}
		if _, err := js.Publish(t.Context(), "$KV."+contract.BucketWorkers+".ingest.a", nostr.Encode(w)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []contract.Condition{
		{Name: "embedded relay", Wrong: "its file was removed\x1b[2J"}, {Name: "streams of ingest", Wrong: "stream INTAKE takes nothing"},
	} {
		process(time.Now(), c)
		if _, failed := doctor(t, args...); strings.Join(failed, " ") != "nats/stores" {
			t.Errorf("with a process that says %v these failed: %q", c, failed)
		}
	}
	// Where NATS can write no more, the last words stand that said all was well.
	process(time.Now().Add(-time.Hour), contract.Condition{Name: "store of NATS"})
	if _, failed := doctor(t, args...); strings.Join(failed, " ") != "nats/stores" {
		t.Errorf("with a process whose last word is old these failed: %q", failed)
	}
	process(time.Now(), contract.Condition{Name: "embedded relay"})
	if err := js.DeleteConsumer(t.Context(), contract.StreamNote, contract.ConsumerFetch); err != nil {
		t.Fatal(err)
	}
	code, failed := doctor(t, args...)
	if code != run.ExitFailed || strings.Join(failed, " ") != "nats/streams" {
		t.Errorf("without a consumer these failed: %q", failed)
	}
}

func TestProvisionSaysWhatItWillDo(t *testing.T) {
	t.Parallel()
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	js, err := run.Dial(t.Context(), server.URL(), config.NATSAuth{}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	provision := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := here(append([]string{"provision", "--nats", server.URL()}, args...)...)
		if code != want {
			t.Errorf("provision %q: exit code %d, want %d: %s%s", args, code, want, stdout, stderr)
		}
		return stdout, stderr
	}
	planned, _ := provision(run.ExitPartly, "--dry-run")
	if again, _ := provision(run.ExitPartly, "--dry-run"); again != planned || !strings.HasPrefix(planned, "create stream INTAKE\n") {
		t.Errorf("a dry run changes something, or says not what it would do: %s", again)
	}
	made, _ := provision(run.ExitOK)
	if want := strings.NewReplacer("create ", "created ").Replace(planned); made != want {
		t.Errorf("it did %q, and said %q", made, want)
	}
	for _, args := range [][]string{{}, {"--dry-run"}} {
		if stdout, stderr := provision(run.ExitOK, args...); stdout != "" || stderr != "nothing to do\n" {
			t.Errorf("the second time, %q: %q, %q", args, stdout, stderr)
		}
	}
	if err := js.DeleteConsumer(t.Context(), contract.StreamNote, contract.ConsumerFetch); err != nil {
		t.Fatal(err)
	}
	stdout, _ := provision(run.ExitPartly, "--dry-run", "--json")
	if got := decode[provisioned](t, stdout); !got.DryRun || len(got.Changes) != 1 || got.Changes[0] != "create consumer fetch of NOTE" {
		t.Errorf("one consumer is missing: %s", stdout)
	}

	// What cannot be: nothing is done, not even the rest.
	if err := js.DeleteStream(t.Context(), contract.StreamLive); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: contract.StreamLive, Subjects: []string{contract.LiveDueSubject("*")}, Metadata: map[string]string{"relaymesh": "1"},
	}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{}, {"--dry-run"}} {
		if _, stderr := provision(run.ExitFailed, args...); !strings.Contains(stderr, "stream LIVE: its retention (Limits)") ||
			!strings.Contains(stderr, "nats stream rm LIVE") {
			t.Errorf("%q: %s", args, stderr)
		}
	}
	if _, err := js.Consumer(t.Context(), contract.StreamNote, contract.ConsumerFetch); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("the consumer was made all the same: %v", err)
	}
	if _, stderr := provision(run.ExitFailed, "--replicas", "3"); !strings.Contains(stderr, "3 replicas: this NATS server is alone") {
		t.Errorf("three replicas on one server: %s", stderr)
	}
}

func TestDoctorWithNothingThere(t *testing.T) {
	t.Parallel()
	nothing := "127.0.0.1:1"
	code, failed := doctor(t, "--timeout", "2s", "--nats", "nats://"+nothing, "--relay", "ws://"+nothing, "--allow-private",
		"--dht-listen", "127.0.0.1:0", "--dht-bootstrap", nothing)
	if want := "nats/connection relay/connection dht/bootstrap"; code != run.ExitFailed || strings.Join(failed, " ") != want {
		t.Errorf("exit code %d, failed %q, want %q", code, failed, want)
	}
}
