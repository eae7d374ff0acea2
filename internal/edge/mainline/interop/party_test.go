package interop

import (
	"bufio"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// party is one implementation: it can be the network that stores, and clients of any network.
type party interface {
	network(t *testing.T, size int) (bootstrap []string)
	client(t *testing.T, bootstrap []string) int
	// put publishes a value under the key of seed and returns the seq that it got: libtorrent chooses its own.
	put(t *testing.T, client int, seed []byte, salt string, seq int64, value string) (got int64)
	get(t *testing.T, client int, key []byte, salt string) (found bool, seq int64, value string)
	// announce announces a port under an infohash, and peers returns who was, host:port.
	announce(t *testing.T, client int, infohash [20]byte, port uint16)
	peers(t *testing.T, client int, infohash [20]byte) []string
}

// ours is relaymesh.
type ours struct{ clients []*mainline.Node }

func (o *ours) network(t *testing.T, size int) []string {
	network, err := dhtnet.Start(t.Context(), size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { network.Close() })
	return network.Bootstrap()
}

func (o *ours) client(t *testing.T, bootstrap []string) int {
	node, err := mainline.Start(t.Context(), mainline.Config{
		Addr: "127.0.0.1:0", Bootstrap: bootstrap, ReadOnly: true, AllowPrivate: true, Rate: -1, PerAddress: -1,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	o.clients = append(o.clients, node)
	return len(o.clients) - 1
}

func (o *ours) put(t *testing.T, client int, seed []byte, salt string, seq int64, value string) int64 {
	it := bep44.Item{Salt: []byte(salt), Seq: seq, Value: bep44.EncodeString([]byte(value))}
	if err := it.Sign(ed25519.NewKeyFromSeed(seed)); err != nil {
		t.Fatal(err)
	}
	res, err := o.clients[client].Put(t.Context(), it, mainline.PutOptions{})
	if err != nil || len(res.Holders) < 3 {
		t.Errorf("our put: %+v, %v", res, err)
	}
	return seq
}

func (o *ours) get(t *testing.T, client int, key []byte, salt string) (bool, int64, string) {
	res, err := o.clients[client].Get(t.Context(), bep44.Target([32]byte(key), []byte(salt)), []byte(salt), mainline.GetOptions{})
	if err != nil {
		t.Errorf("our get: %v", err)
	}
	if res.Item == nil {
		return false, 0, ""
	}
	text, err := bep44.DecodeString(res.Item.Value)
	if err != nil {
		t.Error(err)
	}
	return true, res.Item.Seq, string(text)
}

func (o *ours) announce(t *testing.T, client int, infohash [20]byte, port uint16) {
	if res, err := o.clients[client].Announce(t.Context(), infohash, port, 0, nil); err != nil || res.Took < 3 {
		t.Errorf("our announcement: %+v, %v", res, err)
	}
}

func (o *ours) peers(t *testing.T, client int, infohash [20]byte) (list []string) {
	res, err := o.clients[client].Peers(t.Context(), infohash, 0, nil)
	if err != nil {
		t.Errorf("our look-up of peers: %v", err)
	}
	for _, p := range res.Peers {
		list = append(list, p.Addr.String())
	}
	return list
}

// process is another implementation in a process of its own; see the peers directory for the protocol.
type process struct {
	name   string
	stdin  io.Writer
	answer *bufio.Scanner
}

func startProcess(t *testing.T, dir, program, script string) *process {
	cmd := exec.Command(program, script)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("couldn't start %s (see install.sh): %v", script, err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Process.Kill(); err == nil {
			_ = cmd.Wait()
		}
	})
	return &process{name: script, stdin: stdin, answer: bufio.NewScanner(stdout)}
}

type answer struct {
	Error  string   `json:"error"`
	Addrs  []string `json:"addrs"`
	Client int      `json:"client"`
	Stored int      `json:"stored"`
	Found  bool     `json:"found"`
	Seq    int64    `json:"seq"`
	Value  string   `json:"value"`
	Peers  []string `json:"peers"`
}

func (p *process) call(t *testing.T, command map[string]any) answer {
	t.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(p.stdin, "%s\n", line); err != nil {
		t.Fatal(err)
	}
	if !p.answer.Scan() {
		t.Fatalf("%s ended: %v", p.name, p.answer.Err())
	}
	var a answer
	if err := json.Unmarshal(p.answer.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if a.Error != "" {
		t.Fatalf("%s: %s: %s", p.name, line, a.Error)
	}
	return a
}

func (p *process) network(t *testing.T, size int) []string {
	return p.call(t, map[string]any{"op": "network", "size": size}).Addrs[:4]
}

func (p *process) client(t *testing.T, bootstrap []string) int {
	return p.call(t, map[string]any{"op": "client", "bootstrap": bootstrap}).Client
}

func (p *process) put(t *testing.T, client int, seed []byte, salt string, seq int64, value string) int64 {
	key := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	a := p.call(t, map[string]any{
		"op": "put", "client": client, "seed": hex.EncodeToString(seed), "key": hex.EncodeToString(key),
		"salt": salt, "seq": seq, "value": value,
	})
	if a.Stored < 3 {
		t.Errorf("%s stored on %d nodes", p.name, a.Stored)
	}
	return a.Seq
}

func (p *process) get(t *testing.T, client int, key []byte, salt string) (bool, int64, string) {
	a := p.call(t, map[string]any{"op": "get", "client": client, "key": hex.EncodeToString(key), "salt": salt})
	return a.Found, a.Seq, a.Value
}

func (p *process) announce(t *testing.T, client int, infohash [20]byte, port uint16) {
	p.call(t, map[string]any{"op": "announce", "client": client, "infohash": hex.EncodeToString(infohash[:]), "port": port})
}

func (p *process) peers(t *testing.T, client int, infohash [20]byte) []string {
	return p.call(t, map[string]any{"op": "peers", "client": client, "infohash": hex.EncodeToString(infohash[:])}).Peers
}
