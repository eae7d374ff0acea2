package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// For eight seconds the process can open no file and take no connection. Afterwards it ends with
// 1, so that its supervisor starts it again; nothing that was acknowledged is lost.
func TestUpWithoutDescriptorsForAWhile(t *testing.T) {
	if os.Getenv("RELAYMESH_DISK") == "" {
		t.Skip("half a minute: make test-disk")
	}
	t.Parallel()
	dir, addr, admin := t.TempDir(), loopback.Addr(), loopback.Addr()
	args := append(quiet(dir), "--nats-listen", addr, "--admin", admin)
	up := start(t, "relaymesh is up", args...)
	js := dialNATS(t, addr)
	ask := func(path string) (string, error) {
		response, err := http.Get("http://" + admin + path)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		return string(text), err
	}
	eventually(t, func() error {
		text, err := ask("/readyz?verbose")
		if n := strings.Count(text, "[+] consumers of "); err == nil && n < len(contract.Stages()) {
			err = fmt.Errorf("%d stages run: %s", n, text)
		}
		return err
	})
	restore := withoutDescriptors(t, up)
	sent := 0
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := js.Publish(ctx, events.SubjectEventReceived, listOf(t))
		cancel()
		if err == nil {
			sent++
		}
	}
	restore()
	t.Logf("%d lists were acknowledged meanwhile", sent)
	if text, err := ask("/readyz"); err == nil && !strings.Contains(text, "until its NATS server is started again") { // else it has ended
		t.Errorf("it says %s", text)
	}
	if code := exited(t, up); code != run.ExitFailed { // the NATS server in it keeps the errors until it is started again
		t.Fatalf("exit code %d", code)
	}
	start(t, "relaymesh is up", args...)
	if _, err := dialNATS(t, addr).Publish(t.Context(), events.SubjectEventReceived, listOf(t)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	eventually(t, func() error {
		code, stdout, stderr := relaymesh(t, "status", "--json", "--nats", addr)
		if code != run.ExitOK {
			return fmt.Errorf("status: exit code %d, %s", code, stderr)
		}
		if known := decode[status](t, stdout).Buckets[contract.BucketAuthors]; known < uint64(sent+1) {
			return fmt.Errorf("%d of %d users are known", known, sent+1)
		}
		return nil
	})
}

// withoutDescriptors takes from a process all descriptors that it does not use yet, until restore is called.
func withoutDescriptors(t *testing.T, cmd *exec.Cmd) (restore func()) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	none := before
	none.Cur = 3 // those that are open stay
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_NOFILE, &none, nil); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
			t.Error(err)
		}
	}
}

// listOf is the relay list of a new user.
func listOf(t *testing.T) []byte {
	t.Helper()
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	e := nostr.Event{Kind: 10002, CreatedAt: time.Now().Unix(), Tags: []nostr.Tag{{"r", "wss://relay.example.com"}}}
	if err := key.SignEvent(&e); err != nil {
		t.Fatal(err)
	}
	return nostr.Encode(e)
}
