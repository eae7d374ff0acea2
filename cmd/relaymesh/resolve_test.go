package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// lastLine returns the last line of a text that ends with one.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return lines[len(lines)-1]
}

func TestAnEarlyAnswerIsPrintedAndCorrected(t *testing.T) {
	t.Parallel()
	older := events.ResolveResponse{Seq: 1, Relays: []string{"wss://old.example.com"}, Found: true, Holders: 1}
	newer := events.ResolveResponse{Seq: 2, Relays: []string{"wss://a.example.com", "wss://b.example.com"}, Found: true, Holders: 8}
	for _, tc := range []struct {
		name           string
		early          []events.ResolveResponse
		json           bool
		stdout, stderr string
	}{
		{"the same list", []events.ResolveResponse{newer}, false, "wss://a.example.com\nwss://b.example.com\n", "seq 2, held by 8 nodes\n"},
		{
			"a newer list",
			[]events.ResolveResponse{older},
			false, "wss://old.example.com\nwss://a.example.com\nwss://b.example.com\n",
			"correction: seq 2 takes the place of seq 1\nseq 2, held by 8 nodes\n",
		},
		{"no early answer", nil, false, "wss://a.example.com\nwss://b.example.com\n", "seq 2, held by 8 nodes\n"},
		{
			"JSON",
			[]events.ResolveResponse{older},
			true,
			`{"relays":["wss://old.example.com"],"seq":1,"holders":1,"found":true,"early":true}` + "\n" +
				`{"relays":["wss://a.example.com","wss://b.example.com"],"seq":2,"holders":8,"found":true}` + "\n", "",
		},
	} {
		var stdout, stderr bytes.Buffer
		p := &answers{output: &output{&stdout, &stderr}, json: tc.json}
		for _, answer := range tc.early {
			p.early(answer)
		}
		if err := p.final(newer); err != nil || stdout.String() != tc.stdout || stderr.String() != tc.stderr {
			t.Errorf("%s: %v, stdout %q, stderr %q", tc.name, err, stdout.String(), stderr.String())
		}
	}
}

// Most nodes hold an old list; three have the newer one.
func TestResolveEndsWithTheNewestList(t *testing.T) {
	t.Parallel()
	n := network(t)
	node, err := n.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	for seq, k := range []int{8, 3} {
		value, err := bep44.EncodeRelayList([]string{"wss://relay.example.com", "ws://relay.example.com"}[:seq+1])
		if err != nil {
			t.Fatal(err)
		}
		item := bep44.Item{Seq: int64(seq), Value: value}
		if err := item.Sign(key); err != nil {
			t.Fatal(err)
		}
		if _, err := node.Put(t.Context(), item, mainline.PutOptions{K: k}); err != nil {
			t.Fatal(err)
		}
	}
	resolve := func(key ed25519.PublicKey, args ...string) (code int, stdout, stderr string) {
		return relaymesh(t, append([]string{
			"resolve", hex.EncodeToString(key), "--allow-private", "--dht-listen", "127.0.0.1:0", "--dht-bootstrap",
			strings.Join(n.Bootstrap(), ","),
		}, args...)...)
	}
	public := key.Public().(ed25519.PublicKey)
	code, stdout, stderr := resolve(public, "--json")
	lines := slices.Collect(strings.Lines(stdout))
	if code != run.ExitOK || len(lines) < 2 {
		t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
	}
	for i, line := range lines {
		if got := decode[resolved](t, line); got.Early != (i < len(lines)-1) || len(got.Relays) != int(got.Seq)+1 || !got.Found {
			t.Errorf("line %d: %s", i, line)
		}
	}
	if got := decode[resolved](t, lastLine(stdout)); got.Seq != 1 || got.Holders == 0 || got.Holders > 3 {
		t.Errorf("the answer is %s", lastLine(stdout))
	}
	if code, stdout, _ := resolve(public); code != run.ExitOK ||
		!strings.HasSuffix(stdout, "wss://relay.example.com\nws://relay.example.com\n") {
		t.Errorf("exit code %d, %q", code, stdout)
	}
	// The Nostr key of NIP-19's example: there is no DHT key of these digits.
	nostrKey, _ := hex.DecodeString("3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d")
	if code, _, stderr := resolve(nostrKey); code != run.ExitFailed ||
		!strings.Contains(stderr, "if they are a Nostr key, give it as npub180cvv07") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if code, _, stderr := resolve(make([]byte, 32)); code != run.ExitFailed || !strings.Contains(stderr, "not found") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
