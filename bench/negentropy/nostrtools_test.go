package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// nostrTools is an initiator of nostr-tools, which runs under node and has no
// responder of its own.
type nostrTools struct {
	t   *testing.T
	in  *bufio.Writer
	out *bufio.Scanner
}

func startNostrTools(t *testing.T) *nostrTools {
	t.Helper()
	if _, err := os.Stat("nostr-tools/node_modules"); err != nil {
		t.Skip("nostr-tools is not installed: npm install in bench/negentropy/nostr-tools")
	}
	cmd := exec.Command("node", "peer.mjs")
	cmd.Dir, cmd.Stderr = "nostr-tools", os.Stderr
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
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	return &nostrTools{t, bufio.NewWriter(in), lines}
}

// next sends lines and reads up to the next message, nil when there is none.
func (n *nostrTools) next(have, need *[]negentropy.ID) []byte {
	n.t.Helper()
	if err := n.in.Flush(); err != nil {
		n.t.Fatal(err)
	}
	for n.out.Scan() {
		kind, rest, _ := strings.Cut(n.out.Text(), ",")
		switch kind {
		case "done":
			return nil
		case "msg":
			return unhex(rest)
		}
		id, err := negentropy.ParseID(rest)
		if err != nil {
			n.t.Fatal(err)
		}
		if kind == "have" {
			*have = append(*have, id)
		} else {
			*need = append(*need, id)
		}
	}
	n.t.Fatal("nostr-tools ended:", n.out.Err())
	return nil
}

// nostr-tools as the initiator against our responder. Without a frame limit its
// messages are also those of our initiator, byte for byte.
func TestNostrTools(t *testing.T) {
	peer := startNostrTools(t)
	for _, limit := range []int{0, 4096, 60_000} {
		for seed := range uint64(pairs) {
			p := randomPair(seed)
			fmt.Fprintf(peer.in, "reset,%d\n", limit)
			for _, it := range p.a {
				fmt.Fprintf(peer.in, "item,%d,%s\n", it.Timestamp, it.ID)
			}
			fmt.Fprint(peer.in, "seal\ninitiate\n")
			var have, need []negentropy.ID
			twin := newOurs(ourVector(p.a), limit)
			bob := newOurs(ourVector(p.b), limit)
			want := twin.Start()
			for msg := peer.next(&have, &need); msg != nil; msg = peer.next(&have, &need) {
				if limit == 0 && string(msg) != string(want) {
					t.Fatalf("pair %d: messages differ:\n%x\n%x", seed, msg, want)
				}
				answer, err := bob.Answer(msg)
				if err != nil {
					t.Fatal(err)
				}
				if want, _, err = twin.Next(answer); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(peer.in, "msg,%s\n", hex.EncodeToString(answer))
			}
			p.check(t, have, need)
		}
	}
}
