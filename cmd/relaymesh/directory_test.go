package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// nip11 is a document as HORNETS relays make it: name, pubkey, one address.
func nip11(t *testing.T, key *schnorr.SecretKey, name, sig string) string {
	t.Helper()
	ext := map[string]any{
		"libp2p_id": "16Uiu2", "libp2p_addrs": []string{"/ip4/192.0.2.1/udp/9001/quic-v1"},
		"last_updated": "0001-01-01T00:00:00Z",
	}
	switch sig {
	case "right":
		raw, err := hex.DecodeString(key.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		packed := name + "\x00\x00" + string(raw) + "\x00" + "\x00\x00\x00\x01" + "\x00\x00" +
			"16Uiu2\x00/ip4/192.0.2.1/udp/9001/quic-v1\x00\x00" +
			"\xff\xff\xff\xf1\x88\x6e\x09\x00" // an unset time
		if ext["signature"], err = key.SignHash(sha256.Sum256([]byte(packed))); err != nil {
			t.Fatal(err)
		}
	case "wrong":
		ext["signature"] = strings.Repeat("11", 64)
	}
	doc := map[string]any{"name": name, "pubkey": key.PublicKey(), "supported_nips": []int{1}}
	if sig != "missing" {
		doc["hornet_extension"] = ext
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDirectoryListsTheRelaysWhoseDocumentIsSigned(t *testing.T) {
	t.Parallel()
	n := network(t)
	relays := schnorrKey(t)
	url := map[string]string{}
	for _, sig := range []string{"right", "wrong", "missing"} {
		doc := nip11(t, relays, sig, sig)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, doc) }))
		t.Cleanup(server.Close)
		url[sig] = strings.Replace(server.URL, "http", "ws", 1)
	}
	node, err := n.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	directory := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	for slot, text := range map[int]string{
		0: url["right"],
		1: fmt.Sprintf("[%q,%q,%q]", url["wrong"], url["missing"], "https://web.example.com"),
		3: nip11(t, relays, "in the slot", "right"),
		4: nip11(t, relays, "forged", "wrong"),
		9: url["right"],
	} {
		item := bep44.Item{Salt: bep44.HornetsDirectorySalt(slot), Seq: 1, Value: bep44.EncodeString([]byte(text))}
		if err := item.Sign(directory); err != nil {
			t.Fatal(err)
		}
		if _, err := node.Put(t.Context(), item, mainline.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	search := func(args ...string) (code int, stdout, stderr string) {
		return relaymesh(t, append([]string{
			"dht", "directory", "--allow-private", "--dht-listen", "127.0.0.1:0", "--dht-bootstrap", strings.Join(n.Bootstrap(), ","),
			"--dht-rate=-1", "--dht-per-node=-1",
		}, args...)...)
	}
	key := hex.EncodeToString(directory.Public().(ed25519.PublicKey))
	code, stdout, stderr := search("--json", "--key", key, "--slots", "6")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	var got []string
	for line := range strings.Lines(stdout) {
		e := decode[directoryEntry](t, line)
		if e.Why == "" && (e.PubKey != relays.PublicKey() || e.PeerID != "16Uiu2" || len(e.Addrs) != 1) {
			t.Errorf("%+v", e)
		}
		got = append(got, fmt.Sprintf("%d %s %.30s", e.Slot, e.Name, e.Why))
	}
	slices.Sort(got)
	want := []string{
		`0 right `, `1  relay url "https://web.example`, `1 missing NIP-11: no HORNETS extension`,
		`1 wrong NIP-11: hornet_extension: sign`, `3 in the slot `, `4 forged NIP-11: hornet_extension: sign`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if code, stdout, _ := search("--key", key, "--slots", "1"); code != 0 ||
		stdout != fmt.Sprintf("0\t%q\t\"right\"\t%s\n", url["right"], relays.PublicKey()) {
		t.Errorf("exit code %d, %q", code, stdout)
	}
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	if code, _, stderr := here("provision", "--nats", server.URL()); code != 0 {
		t.Fatal(stderr)
	}
	if code, _, stderr := search("--key", key, "--slots", "6", "--announce", "--nats", server.URL()); code != 0 {
		t.Errorf("--announce: exit code %d, %s", code, stderr)
	}
	js, err := run.Dial(t.Context(), server.URL(), config.NATSAuth{}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	intake, err := js.Stream(t.Context(), contract.StreamIntake)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := intake.GetLastMsgForSubject(t.Context(), events.SubjectRelayDiscovered)
	if err != nil {
		t.Fatal(err)
	}
	if got := decode[events.RelayDiscovered](t, string(msg.Data)); got.URL != url["right"] || got.Via != contract.ViaDirectory ||
		intake.CachedInfo().State.Msgs != 1 {
		t.Errorf("announced %s, %d messages", msg.Data, intake.CachedInfo().State.Msgs)
	}
	if code, _, stderr := search("--slots", "2"); code != 1 || !strings.Contains(stderr, "not found: none of 2 slots") {
		t.Errorf("the directory of HORNETS: exit code %d, %s", code, stderr)
	}
	for _, args := range [][]string{{"--key", "ab"}, {"--slots", "0"}, {"--slots", "1025"}} {
		if code, _, stderr := search(args...); code != 2 || !strings.Contains(stderr, args[0]+":") {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
}

func schnorrKey(t *testing.T) *schnorr.SecretKey {
	t.Helper()
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	return key
}
