//go:build docs

package docs

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fiatjaf/eventstore/slicestore"
	"github.com/fiatjaf/khatru"
	"github.com/nbd-wtf/go-nostr/nip19"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// world is what the scripts have in common: the programs, and a DHT. Each has
// relays of its own.
type world struct {
	bin, tools string
	dht        *dhtnet.Network
}

type (
	placeholdersKey struct{} // *strings.Replacer
	namesKey        struct{} // []string, of environment variables
	testKey         struct{} // testing.TB
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{bin: os.Getenv("RELAYMESH_BIN"), tools: t.TempDir()}
	if w.bin == "" {
		t.Fatal("RELAYMESH_BIN: missing; make test-docs sets it")
	}
	for _, tool := range []string{"github.com/nats-io/nkeys/nk", "github.com/nats-io/nats-server/v2"} {
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", w.tools+"/", tool).CombinedOutput(); err != nil {
			t.Fatalf("go build %s: %v: %s", tool, err, out)
		}
	}
	// The module's path ends with its version.
	if err := os.Rename(filepath.Join(w.tools, "v2"), filepath.Join(w.tools, "nats-server")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var err error
	if w.dht, err = dhtnet.Start(t.Context(), 16); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.dht.Close() })
	return w
}

// setup makes the world of one script: relays with a thread, the user's key and
// relay, and the addresses where the pages have theirs.
func (w *world) setup(e *testscript.Env) error {
	t := e.T().(testing.TB)
	user, thread, err := sign()
	if err != nil {
		return err
	}
	npub, err := schnorr.EncodeNpub(user.PublicKey())
	if err != nil {
		return err
	}
	nevent, err := nip19.EncodeEvent(thread[1].ID, nil, "")
	if err != nil {
		return err
	}
	secret, err := hex.DecodeString(user.Hex())
	if err != nil {
		return err
	}
	key := bep44.KeyFromNostr([32]byte(secret))
	var lines strings.Builder
	for _, event := range thread {
		fmt.Fprintf(&lines, "%s\n", nostr.Encode(event))
	}
	for name, text := range map[string]string{
		"me.nsec":      user.Hex(),
		"events.jsonl": lines.String(),
		"plugin.jsonl": fmt.Sprintf(`{"type":"new","event":%s,"receivedAt":1,"sourceType":"IP4","sourceInfo":"127.0.0.1"}`+"\n",
			nostr.Encode(thread[2])),
		"streams.yaml": block(t, "docs/operating.md", "streams:"),
		"users.conf":   block(t, "docs/operating.md", "accounts {"),
	} {
		if err := os.WriteFile(filepath.Join(e.WorkDir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if err := os.Symlink(w.bin, filepath.Join(e.WorkDir, "bin")); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(e.WorkDir, "var/lib"), 0o700); err != nil {
		return err
	}

	natsAddr := loopback.Addr()
	one, other := withEvents(t, thread), withEvents(t, nil)
	places := []string{ // what the pages have, and what is there in this world
		"ws://127.0.0.1:7777", hometest.Start(t), // strfry, or any
		"ws://127.0.0.1:9001", hometest.Start(t), // HORNETS
		"ws://127.0.0.1:3334", withEvents(t, nil), // khatru
		"ws://127.0.0.1:8008", plain(t), // nostream: without NIP-77
		"wss://relay.example.com", one,
		"wss://other.example.org", other,
		"127.0.0.1:4222", natsAddr,
		"0.0.0.0:4848", loopback.Addr(), // a list index
		"127.0.0.1:9464", loopback.Addr(),
		"127.0.0.1:9465", loopback.Addr(),
		"127.0.0.1:8080", loopback.Addr(),
		"/var/lib/", filepath.Join(e.WorkDir, "var/lib") + "/",
		"/usr/bin/", w.bin + "/",
		"npub1…", npub,
		"nevent1…", nevent,
		`"event_id": "…"`, fmt.Sprintf(`"event_id": %q`, thread[1].ID),
		`"author_pubkey": "…"`, fmt.Sprintf(`"author_pubkey": %q`, user.PublicKey()),
		`["wss://…"]`, fmt.Sprintf("[%q]", one),
	}
	e.Values[placeholdersKey{}] = strings.NewReplacer(places...)
	e.Values[testKey{}] = t

	names := []string{"PATH", "HOME", "TMPDIR", "RELAYMESH_NATS", "RELAYMESH_DATA", "RELAYMESH_ADMIN"}
	for name, value := range map[string]string{
		"PATH":     strings.Join([]string{w.bin, w.tools, e.WorkDir, e.Getenv("PATH")}, string(filepath.ListSeparator)),
		"NATS_URL": "nats://" + natsAddr, "NATS": "nats://" + natsAddr,
		"KEY": hex.EncodeToString(key.Public().(ed25519.PublicKey)), "NOTE": thread[1].ID, "ROOT": thread[0].ID, "PUBLISHED": one + `\n` + other,
		"RELAYMESH_NATS_LISTEN":   natsAddr,
		"RELAYMESH_RELAY_ADDR":    "127.0.0.1:0",
		"RELAYMESH_ALLOW_PRIVATE": "true",
		"RELAYMESH_DHT_LISTEN":    "127.0.0.1:0",
		"RELAYMESH_DHT_BOOTSTRAP": strings.Join(w.dht.Bootstrap(), ","),
		"RELAYMESH_DHT_RATE":      "-1", "RELAYMESH_DHT_PER_NODE": "-1",
	} {
		e.Setenv(name, value)
		names = append(names, name)
	}
	e.Values[namesKey{}] = names
	return nil
}

// sign makes a user, a note of theirs, a reply to it, and another note.
func sign() (*schnorr.SecretKey, []nostr.Event, error) {
	user, err := schnorr.NewSecret()
	if err != nil {
		return nil, nil, err
	}
	now := time.Now().Unix()
	thread := []nostr.Event{
		{Kind: 1, CreatedAt: now - 30, Tags: []nostr.Tag{}, Content: "root"},
		{Kind: 1, CreatedAt: now - 20, Content: "reply"},
		{Kind: 1, CreatedAt: now - 10, Tags: []nostr.Tag{}, Content: "another"},
	}
	for i := range thread {
		if i == 1 {
			thread[i].Tags = []nostr.Tag{{"e", thread[0].ID, "", "root"}}
		}
		if err := user.SignEvent(&thread[i]); err != nil {
			return nil, nil, err
		}
	}
	return user, thread, nil
}

// withEvents starts a khatru relay that has them.
func withEvents(t testing.TB, list []nostr.Event) string {
	t.Helper()
	r, err := khatrutest.Start(context.Background(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	hometest.Publish(t, r.URL(), list...)
	return r.URL()
}

// plain starts a relay without negentropy.
func plain(t testing.TB) string {
	t.Helper()
	var store slicestore.SliceStore
	if err := store.Init(); err != nil {
		t.Fatal(err)
	}
	rl := khatru.NewRelay()
	rl.Log = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	rl.StoreEvent = append(rl.StoreEvent, store.SaveEvent)
	rl.QueryEvents = append(rl.QueryEvents, store.QueryEvents)
	server := httptest.NewServer(rl)
	t.Cleanup(server.CloseClientConnections)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}
