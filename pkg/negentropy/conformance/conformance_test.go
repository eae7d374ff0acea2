package conformance

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
)

// process runs the harness as the suite does: a writer for its input and a
// scanner over its output.
func process(t *testing.T, opts Options) (io.Writer, *bufio.Scanner) {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := Run(inR, outW, opts)
		outW.Close()
		done <- err
	}()
	t.Cleanup(func() {
		inW.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewScanner(outR)
	lines.Buffer(nil, 64<<20)
	return inW, lines
}

func id(n int) string { return fmt.Sprintf("%064x", 1+n*0x9e3779b9) }

func TestLineProtocol(t *testing.T) {
	for _, limit := range []int{0, 4096} {
		alice, fromAlice := process(t, Options{FrameLimit: limit})
		bob, fromBob := process(t, Options{FrameLimit: limit})
		for n := range 3000 { // each lacks a hundred
			if n >= 100 {
				fmt.Fprintf(alice, "item,%d,%s\n", 1000+n, id(n))
			}
			if n < 2900 {
				fmt.Fprintf(bob, "item,%d,%s\n", 1000+n, id(n))
			}
		}
		fmt.Fprint(alice, "seal\ninitiate\n")
		fmt.Fprint(bob, "seal\n")
		found := make(map[string]bool)
		for fromAlice.Scan() && fromAlice.Text() != "done" {
			line := fromAlice.Text()
			if !strings.HasPrefix(line, "msg,") {
				found[line] = true
				continue
			}
			fmt.Fprintln(bob, line)
			if !fromBob.Scan() {
				t.Fatal("no answer")
			}
			fmt.Fprintln(alice, fromBob.Text())
		}
		for n := range 100 {
			if !found["need,"+id(n)] || !found["have,"+id(2900+n)] {
				t.Fatalf("limit %d: difference %d is not reported", limit, n)
			}
		}
		if len(found) != 200 {
			t.Errorf("limit %d: %d differences reported, want 200", limit, len(found))
		}
	}
}

// The suite sends a version of the future, and then goes on with version 1.
func TestVersionUpgrade(t *testing.T) {
	in, out := process(t, Options{})
	fmt.Fprint(in, "item,1,"+id(1)+"\nseal\nmsg,62aabbccddff\n")
	if out.Scan(); out.Text() != "msg,61" {
		t.Errorf("version 2 is answered by %q, want msg,61", out.Text())
	}
	fmt.Fprint(in, "msg,6100000200\n")
	if out.Scan(); out.Text() != "msg,6100000201"+id(1) {
		t.Errorf("an empty list is answered by %q", out.Text())
	}
}

func TestRunRejects(t *testing.T) {
	for _, input := range []string{
		"what\n", "msg,61\n", "initiate\n", "item,x," + id(1) + "\n", "item,1,00\n", "seal\nseal\n", "seal\nmsg,6\n", "seal\nmsg,00\n",
	} {
		if err := Run(strings.NewReader(input), io.Discard, Options{}); err == nil {
			t.Errorf("%q is accepted", input)
		}
	}
}
