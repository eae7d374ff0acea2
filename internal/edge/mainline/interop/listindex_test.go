package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Another implementation of docs/spec/list-index.md holds its vectors, finds a list at our index, and our resolver finds one at
// its index, which is a plain NIP-01 relay.
func TestAnotherImplementationOfListIndexes(t *testing.T) {
	dir := os.Getenv("MAINLINE_INTEROP")
	if dir == "" {
		t.Skip("needs bittorrent-dht and nostr-tools: see the package documentation")
	}
	spec, err := filepath.Abs("../../../../docs/spec/list-index.json")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := node(t, dir, "vectors", spec).CombinedOutput(); err != nil {
		t.Fatalf("vectors: %v: %s", err, out)
	}
	network, err := dhtnet.Start(t.Context(), 12)
	if err != nil {
		t.Fatal(err)
	}
	defer network.Close()
	alice, alices := signList(t, "wss://alice.example.com")
	startOurIndex(t, network, hometest.Start(t, alices))
	npub, err := schnorr.EncodeNpub(alice.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	bootstrap := strings.Join(network.Bootstrap(), ",")
	var theirs struct {
		Found  bool
		Event  nostr.Event
		Relays []string
	}
	for end := time.Now().Add(time.Minute); !theirs.Found && time.Now().Before(end); {
		cmd := node(t, dir, "resolve", bootstrap, npub)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil || json.Unmarshal(out, &theirs) != nil {
			t.Fatalf("resolve: %v: %s", err, out)
		}
	}
	if theirs.Event.ID != alices.ID || !slices.Equal(theirs.Relays, []string{"wss://alice.example.com"}) {
		t.Errorf("they find %+v", theirs)
	}
	bob, bobs := signList(t, "wss://bob.example.com")
	serve := node(t, dir, "serve", bootstrap, "127.0.0.5", string(nostr.Encode(bobs)))
	serve.Stderr = os.Stderr
	stdin, err := serve.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = serve.Process.Kill(); _ = serve.Wait() }()
	if lines := bufio.NewScanner(stdout); !lines.Scan() { // it has announced itself
		t.Fatal("their index did not start")
	}
	ours, err := run.ResolveOnce(t.Context(), machine(t, network, "127.0.0.4"), events.ResolveRequest{PubKey: bob.PublicKey()}, quiet, nil)
	if err != nil || !ours.Found || ours.Event.ID != bobs.ID {
		t.Errorf("we find %+v, %v", ours, err)
	}
}

var quiet = slog.New(slog.DiscardHandler)

func node(t *testing.T, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"list-index.mjs"}, args...)...)
	cmd.Dir = dir
	return cmd
}

func signList(t *testing.T, url string) (key *schnorr.SecretKey, list nostr.Event) {
	t.Helper()
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	list = nostr.Event{Kind: nostr.KindRelayList, CreatedAt: time.Now().Unix(), Tags: []nostr.Tag{{"r", url}}}
	if err := key.SignEvent(&list); err != nil {
		t.Fatal(err)
	}
	return key, list
}

// machine is the configuration of one that knows bootstrap nodes only.
func machine(t *testing.T, network *dhtnet.Network, host string) config.Config {
	return config.Config{
		AllowPrivate: true, Index: config.Index{KnownFile: filepath.Join(t.TempDir(), "known.json")},
		DHT: config.DHT{Listen: host + ":0", Bootstrap: network.Bootstrap(), Rate: -1, PerNode: -1},
	}
}

func startOurIndex(t *testing.T, network *dhtnet.Network, home string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	dir, up, ended := t.TempDir(), make(chan string, 1), make(chan error, 1)
	l := run.ListIndex{
		ServeIndex: config.ServeIndex{Announce: true, Kinds: []int{0, 10002}, KeyFile: filepath.Join(dir, "key")},
		Listen:     "127.0.0.2:0", File: filepath.Join(dir, "index.db"), Home: home, Config: machine(t, network, "127.0.0.2"), Log: quiet,
	}
	go func() { ended <- l.Run(ctx, func(url string) { up <- url }) }()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case <-up:
	case err := <-ended:
		t.Fatal(err)
	}
}
