package schnorr

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Every event of go-nostr's recording was accepted by real relays, so all must
// verify, and none may once its id or signature is touched.
func TestVerifyRealEvents(t *testing.T) {
	all := recordedEvents(t)
	if len(all) != 532 {
		t.Fatalf("read %d events, want 532", len(all))
	}
	for i := range all {
		e := all[i]
		if err := Verify(&e); err != nil {
			t.Fatalf("%s: %v", e.ID, err)
		}
		forged := e
		forged.Sig = flip(e.Sig)
		if err := Verify(&forged); err == nil || !strings.HasPrefix(err.Error(), "sig") {
			t.Fatalf("%s: damaged signature: got %v", e.ID, err)
		}
		// A valid signature of another event under a forged id must not pass.
		forged = e
		forged.ID = flip(e.ID)
		if err := Verify(&forged); err == nil || !strings.HasPrefix(err.Error(), "id") {
			t.Fatalf("%s: forged id: got %v", e.ID, err)
		}
	}
}

func TestVerifyKeyOffCurve(t *testing.T) {
	e := nostr.Event{PubKey: strings.Repeat("f", 64), Sig: strings.Repeat("0", 128), Tags: []nostr.Tag{}}
	e.ID = e.Hash()
	if err := Verify(&e); err == nil || !strings.HasPrefix(err.Error(), "pubkey") {
		t.Fatalf("got %v, want a pubkey error", err)
	}
}

func TestSign(t *testing.T) {
	sk, err := NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	e := nostr.Event{CreatedAt: 1_700_000_000, Kind: 1, Content: "hello \"<&>\"\n\x01\u2028"}
	if err := Sign(&e, sk); err != nil {
		t.Fatal(err)
	}
	if e.PubKey != sk.PublicKey() {
		t.Errorf("pubkey %s, want %s", e.PubKey, sk.PublicKey())
	}
	wire, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	back, err := nostr.ParseEvent(wire)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(&back); err != nil {
		t.Fatal(err)
	}
}

// The key pair of NIP-19's examples.
const (
	nip19Sec  = "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa"
	nip19Nsec = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
	nip19Pub  = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"
	nip19Npub = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"
)

func TestNIP19(t *testing.T) {
	sk, err := ParseSecret(nip19Nsec)
	if err != nil {
		t.Fatal(err)
	}
	if sk.PublicKey() != nip19Pub || sk.Hex() != nip19Sec {
		t.Errorf("nsec gave public key %s", sk.PublicKey())
	}
	if fromHex, err := ParseSecret(nip19Sec); err != nil || fromHex.PublicKey() != nip19Pub {
		t.Errorf("hex: %v", err)
	}
	if npub, err := EncodeNpub(nip19Pub); err != nil || npub != nip19Npub {
		t.Errorf("EncodeNpub = %s, %v", npub, err)
	}
	for _, s := range []string{nip19Npub, nip19Pub, strings.ToUpper(nip19Pub)} {
		if pub, err := ParsePublicKey(s); err != nil || pub != nip19Pub {
			t.Errorf("ParsePublicKey(%s) = %s, %v", s, pub, err)
		}
	}
}

func TestBadKeys(t *testing.T) {
	order := "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
	for _, s := range []string{
		"", "nsec1", nip19Npub, nip19Nsec[:40], strings.Replace(nip19Nsec, "vl029", "vl02q", 1), strings.Repeat("0", 64),
		order, order[:62],
	} {
		if sk, err := ParseSecret(s); err == nil {
			t.Errorf("ParseSecret(%q) = %v, want an error", s, sk)
		} else if len(s) > 8 && strings.Contains(err.Error(), s) {
			t.Errorf("the error repeats the input: %v", err)
		}
	}
	for _, s := range []string{
		"", "npub1", nip19Nsec, strings.Repeat("f", 64), "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjpth",
	} {
		if pub, err := ParsePublicKey(s); err == nil {
			t.Errorf("ParsePublicKey(%q) = %s, want an error", s, pub)
		}
	}
}

func TestSecretKeyDoesNotPrint(t *testing.T) {
	sk, err := ParseSecret(nip19Sec)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(sk) //nolint:staticcheck // that nothing comes out is the point
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(sk), fmt.Sprintf("%v %+v %#v %s", sk, sk, sk, sk), string(asJSON)} {
		if strings.Contains(text, nip19Sec) {
			t.Errorf("secret printed: %s", text)
		}
	}
}

func TestReadSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nsec")
	if err := os.WriteFile(path, []byte("  "+nip19Nsec+" \r\n# comment\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sk, err := ReadSecretFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if sk.PublicKey() != nip19Pub {
		t.Errorf("public key %s", sk.PublicKey())
	}
	if _, err := ReadSecretFile(path + "x"); err == nil {
		t.Error("a missing file gave no error")
	}
}

func TestRelayList(t *testing.T) {
	sk, err := ParseSecret(nip19Sec)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{"wss://a.example", "wss://b.example/?x=1&y=2"}
	sig, err := SignRelayList(list, sk)
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifyRelayList(list, sig, nip19Pub); err != nil {
		t.Error(err)
	}
	// sha256 of ["wss://a.example","wss://b.example/?x=1&y=2"], the text that
	// JSON.stringify gives.
	browser, err := sk.sign(mustHex(t, "4d27f55371c9fe036f257b0a7b55f736d121415670d6b9a9c97c3b6311115e8e"))
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifyRelayList(list, browser, nip19Pub); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"other list":  VerifyRelayList(list[:1], sig, nip19Pub),
		"other order": VerifyRelayList([]string{list[1], list[0]}, sig, nip19Pub),
		"damaged":     VerifyRelayList(list, flip(sig), nip19Pub),
		"short":       VerifyRelayList(list, sig[2:], nip19Pub),
		"bad key":     VerifyRelayList(list, sig, strings.Repeat("f", 64)),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	all := recordedEvents(b)
	for i := range b.N {
		if err := Verify(&all[i%len(all)]); err != nil {
			b.Fatal(err)
		}
	}
}

func flip(s string) string {
	last := byte('0')
	if s[len(s)-1] == '0' {
		last = '1'
	}
	return s[:len(s)-1] + string(last)
}

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// recordedEvents reads the events of go-nostr's testdata from the module cache.
func recordedEvents(t testing.TB) []nostr.Event {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/nbd-wtf/go-nostr").Output()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "testdata", "messages.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []nostr.Event
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var msg []json.RawMessage
		if json.Unmarshal(lines.Bytes(), &msg) != nil || len(msg) < 3 || string(msg[0]) != `"EVENT"` {
			continue
		}
		e, err := nostr.ParseEvent(msg[2])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
