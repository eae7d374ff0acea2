package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
)

// quiet are the flags of an up that reaches nobody.
func quiet(dir string, more ...string) []string {
	return append([]string{
		"up", "--data", dir, "--nats-listen", "127.0.0.1:0", "--relay-addr", "127.0.0.1:0", "--dht-listen", "127.0.0.1:0",
		"--dht-bootstrap", "127.0.0.1:1", "--allow-private",
	}, more...)
}

// exited waits for the end of a process and returns its exit code.
func exited(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatalf("%q does not end", cmd.Args[1:])
	}
	return cmd.ProcessState.ExitCode()
}

func TestAPortInUseNamesItsFlag(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	systemd := filepath.Join(t.TempDir(), "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: systemd, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	for flag, addr := range map[string]string{
		"--nats-listen": tcp.Addr().String(), "--relay-addr": tcp.Addr().String(), "--admin": tcp.Addr().String(),
		"--p2p-listen": tcp.Addr().String(), "--dht-listen": udp.LocalAddr().String(),
		"--gateway": tcp.Addr().String(), "--index": tcp.Addr().String(),
	} {
		cmd := command(t, quiet(t.TempDir(), flag, addr)...)
		var stderr bytes.Buffer
		cmd.Stderr, cmd.Env = &stderr, append(os.Environ(), "NOTIFY_SOCKET="+systemd)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		code, last := exited(t, cmd), lastLine(stderr.String())
		if code != run.ExitFailed || !strings.Contains(last, flag+":") || !strings.Contains(last, "address already in use") ||
			strings.Contains(stderr.String(), "relaymesh is up") || strings.Contains(stderr.String(), "console is at") {
			t.Errorf("%s: exit code %d, %s", flag, code, &stderr)
		}
	}
	conn, err := net.Dial("unixgram", systemd)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const last = "there is no more"
	if _, err := conn.Write([]byte(last)); err != nil {
		t.Fatal(err)
	}
	for message := make([]byte, 100); ; {
		n, err := told.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		if string(message[:n]) == "READY=1" {
			t.Error("systemd was told that it is up")
		}
		if string(message[:n]) == last {
			break
		}
	}
	for _, args := range [][]string{
		{"nats", "--data", t.TempDir(), "--listen", tcp.Addr().String()},
		{"console", "--nats", "nats://127.0.0.1:1", "--admin", tcp.Addr().String()},
		{"gateway", "--relay", "ws://127.0.0.1:1", "--listen", tcp.Addr().String()},
		{"gateway", "--relay", "ws://127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", tcp.Addr().String()},
		{"index", "--data", t.TempDir(), "--dht-listen", "127.0.0.1:0", "--listen", tcp.Addr().String()},
		{"index", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--dht-listen", udp.LocalAddr().String()},
		{"index", "--data", t.TempDir(), "--dht-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--admin", tcp.Addr().String()},
	} {
		if code, _, stderr := relaymesh(t, args...); code != run.ExitFailed || !strings.Contains(lastLine(stderr), args[len(args)-2]+":") {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
}

// Templates of supervisors leave variables empty where nothing is meant.
func TestEmptyVariablesAreUnset(t *testing.T) {
	t.Parallel()
	_, stdout, _ := relaymesh(t, "config", "--json")
	defaults := decode[struct {
		Settings []setting `json:"settings"`
	}](t, stdout)
	if len(defaults.Settings) < 30 {
		t.Fatalf("%d settings", len(defaults.Settings))
	}
	for _, empty := range []string{"", " "} {
		cmd := command(t, "config", "--json")
		cmd.Env = os.Environ()
		for _, s := range defaults.Settings {
			cmd.Env = append(cmd.Env, s.Env+"="+empty)
		}
		cmd.Env = append(cmd.Env, "RELAYMESH_CONFIG="+empty)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || string(out) != stdout {
			t.Errorf("with %q: %v, %s, %s", empty, err, out, &stderr)
		}
	}
}

// Each signal that asks for an end drains, and the id of the DHT node is kept.
func TestSignalsEndUpCleanly(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT} {
		if signal.Ignored(s) {
			continue // as SIGHUP below nohup, and by what is started there
		}
		dir := t.TempDir()
		cmd := start(t, "next: point a Nostr client at ws://127.0.0.1:", quiet(dir)...)
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if code := exited(t, cmd); code != run.ExitOK {
			t.Errorf("%s: exit code %d", s, code)
		}
		var saved struct {
			ID []byte `json:"id"`
		}
		text, err := os.ReadFile(filepath.Join(dir, "dht", "nodes"))
		if err != nil || json.Unmarshal(text, &saved) != nil || len(saved.ID) != 20 {
			t.Errorf("saved %s, %v", text, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "p2p")); err == nil {
			t.Error("a libp2p key was made, which nothing needs")
		}
	}
}

// A console without NATS lives from the first moment, is not ready, and a signal
// while it waits is no failure.
func TestItLivesBeforeNATSIsThere(t *testing.T) {
	t.Parallel()
	admin := loopback.Addr()
	cmd := command(t, "console", "--nats", "nats://127.0.0.1:1", "--admin", admin)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	get := func(path string) (status int) {
		eventually(t, func() error {
			resp, err := http.Get("http://" + admin + path)
			if err != nil {
				return err
			}
			status = resp.StatusCode
			return resp.Body.Close()
		})
		return status
	}
	if live, ready := get("/livez"), get("/readyz"); live != http.StatusOK || ready != http.StatusServiceUnavailable {
		t.Errorf("/livez %d, /readyz %d", live, ready)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := exited(t, cmd); code != run.ExitOK {
		t.Errorf("exit code %d", code)
	}
}

// TERM in the middle of a start ends with 0.
func TestTermDuringTheStart(t *testing.T) {
	t.Parallel()
	admin := loopback.Addr()
	cmd := command(t, quiet(t.TempDir(), "--admin", admin)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // it listens there first of all
		if conn, err := net.Dial("tcp", admin); err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("it does not listen")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := exited(t, cmd); code != run.ExitOK {
		t.Errorf("exit code %d", code)
	}
}

// A log whose reader has gone neither kills nor hides the end.
func TestALogThatNobodyReads(t *testing.T) {
	t.Parallel()
	admin := loopback.Addr()
	cmd := command(t, quiet(t.TempDir(), "--log-level", "debug", "--admin", admin)...)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(pipe); lines.Scan() && !strings.Contains(lines.Text(), "relaymesh is up"); {
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { // what it does now is logged to nobody
		if status, body := fetch(t, "http://"+admin+"/readyz"); status == 0 {
			return fmt.Errorf("%s", body)
		}
		return nil
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := exited(t, cmd); code != run.ExitOK {
		t.Errorf("exit code %d, %v", code, cmd.ProcessState)
	}
}

// A secret that every user of the machine can read is named, and works all the same.
func TestSecretsThatOthersCanReadAreNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nsec")
	if err := os.WriteFile(path, []byte(strings.Repeat("1", 64)), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := relaymesh(t, "config", "--nsec-file", path)
		if got := strings.Contains(stderr, "--nsec-file") && strings.Contains(stderr, path); code != 0 || got != warned {
			t.Errorf("mode %o: exit code %d, %s", mode, code, stderr)
		}
	}
}

// A bucket that somebody deletes is made again: up ends with 1, as its supervisor expects, and starts with a new one.
func TestUpEndsWhenABucketIsDeletedAndMakesItAgain(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), loopback.Addr()
	up := start(t, "relaymesh is up", append(quiet(dir), "--nats-listen", addr)...)
	js := dialNATS(t, addr)
	if err := js.DeleteKeyValue(t.Context(), contract.BucketRecords); err != nil {
		t.Fatal(err)
	}
	if code := exited(t, up); code != run.ExitFailed {
		t.Errorf("exit code %d, want %d", code, run.ExitFailed)
	}
	start(t, "relaymesh is up", append(quiet(dir), "--nats-listen", addr)...)
	if _, err := dialNATS(t, addr).KeyValue(t.Context(), contract.BucketRecords); err != nil {
		t.Error(err)
	}
}

func dialNATS(t *testing.T, addr string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("nats://"+addr, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	return js
}
