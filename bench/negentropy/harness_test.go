package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// harness is a running negentropy-harness.
type harness struct {
	t   *testing.T
	in  *bufio.Writer
	out *bufio.Scanner
}

// buildHarness returns the path of the binary.
func buildHarness(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "negentropy-harness")
	build := exec.Command("go", "build", "-o", path, "github.com/relaymesh/relaymesh/cmd/negentropy-harness")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return path
}

// startHarness runs the binary over a set; it ends with stop.
func startHarness(t *testing.T, path string, limit int, items []negentropy.Item) (h *harness, stop func()) {
	t.Helper()
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), "COMPAT=1", fmt.Sprint("FRAMESIZELIMIT=", limit))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	h = &harness{t, bufio.NewWriter(in), lines}
	for _, it := range items {
		fmt.Fprintf(h.in, "item,%d,%s\n", it.Timestamp, it.ID)
	}
	fmt.Fprintln(h.in, "seal")
	return h, func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// ask sends a line and returns the answer, "" for done, past what is reported before it.
func (h *harness) ask(line string) string {
	h.t.Helper()
	fmt.Fprintln(h.in, line)
	if err := h.in.Flush(); err != nil {
		h.t.Fatal(err)
	}
	for h.out.Scan() {
		if kind, rest, _ := strings.Cut(h.out.Text(), ","); kind == "msg" || kind == "done" {
			return rest
		}
	}
	h.t.Fatal("the harness ended:", h.out.Err())
	return ""
}

// With COMPAT=1, the harness overflows as other implementations do, byte for byte.
func TestCompatBytes(t *testing.T) {
	path, full := buildHarness(t), 0
	for seed := range uint64(pairs / 2) {
		const limit = 4096
		p := randomPair(seed)
		alice, stopAlice := startHarness(t, path, limit, p.a)
		bob, stopBob := startHarness(t, path, limit, p.b)
		otherAlice, otherBob := newTheirs(newTheirVector(p.a), limit), newTheirs(newTheirVector(p.b), limit)
		msg, got := otherAlice.Start(), alice.ask("initiate")
		for msg != "" {
			if got != msg {
				t.Fatalf("pair %d: initiator's messages differ:\n%s\n%s", seed, got, msg)
			}
			answer, err := otherBob.Answer(msg)
			if err != nil {
				t.Fatal(err)
			}
			if size(answer) > limit-1300 { // no space for another split
				full++
			}
			if got = bob.ask("msg," + msg); got != answer {
				t.Fatalf("pair %d: answers differ:\n%s\n%s", seed, got, answer)
			}
			if msg, _, err = otherAlice.Next(answer); err != nil {
				t.Fatal(err)
			}
			got = alice.ask("msg," + answer)
		}
		otherAlice.Found()
		stopAlice()
		stopBob()
	}
	if full < 100 {
		t.Errorf("only %d messages were full", full)
	}
}
