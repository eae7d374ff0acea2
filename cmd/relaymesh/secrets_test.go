package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nbd-wtf/go-nostr/nip19"

	"github.com/coder/websocket"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
)

// secrets are in files, and must be nowhere else.
type secrets struct {
	t     *testing.T
	dir   string
	forms map[string]string // what must not be seen, and what it is
}

// file writes a secret and returns where.
func (s *secrets) file(name, text string, raw ...[]byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.never(name, append(raw, []byte(text))...)
	return path
}

// never has none of them be seen, in any usual encoding.
func (s *secrets) never(name string, raw ...[]byte) {
	for _, b := range raw {
		for form, text := range map[string]string{
			"raw": string(b), "hex": hex.EncodeToString(b), "HEX": strings.ToUpper(hex.EncodeToString(b)),
			"base64": base64.RawStdEncoding.EncodeToString(b), "base64url": base64.RawURLEncoding.EncodeToString(b),
			"bytes": strings.Trim(fmt.Sprintf("%d", b), "[]"),
		} {
			s.forms[text] = name + " " + form
		}
	}
}

// check looks for them in what was written.
func (s *secrets) check(where, text string) {
	s.t.Helper()
	for form, name := range s.forms {
		if strings.Contains(text, form) {
			s.t.Errorf("%s shows the %s", where, name)
		}
	}
}

// nostrKey returns the file of a new key, written as nsec or hex.
func (s *secrets) nostrKey(name string, asHex bool) string {
	s.t.Helper()
	key, err := schnorr.NewSecret()
	if err != nil {
		s.t.Fatal(err)
	}
	raw, _ := hex.DecodeString(key.Hex())
	nsec, err := nip19.EncodePrivateKey(key.Hex())
	if err != nil {
		s.t.Fatal(err)
	}
	s.never(name, []byte(nsec))
	if asHex {
		return s.file(name, key.Hex(), raw)
	}
	return s.file(name, nsec, raw)
}

// nkey returns the file of a new seed, and one with it and a JWT.
func (s *secrets) nkey(name string) (seedFile, credsFile string) {
	s.t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		s.t.Fatal(err)
	}
	seed, _ := key.Seed()
	private, _ := key.PrivateKey()
	public, _ := key.PublicKey()
	account, err := nkeys.CreateAccount()
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := jwt.NewUserClaims(public).Encode(account)
	if err != nil {
		s.t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.file(name, string(seed), private), s.file(name+".creds", string(creds), []byte(token))
}

func newSecrets(t *testing.T) *secrets {
	t.Helper()
	return &secrets{t: t, dir: t.TempDir(), forms: map[string]string{}}
}

const password = "correct-horse-battery-staple"

// Errors about secrets name the file and the flag.
func TestErrorsShowNoSecret(t *testing.T) {
	t.Parallel()
	s := newSecrets(t)
	s.never("password", []byte(password))
	nsec := s.nostrKey("nsec", false)
	seed, creds := s.nkey("seed")
	text, err := os.ReadFile(nsec)
	if err != nil {
		t.Fatal(err)
	}
	good := strings.TrimSpace(string(text))
	mistyped := s.file("mistyped", good[:len(good)-1]+map[bool]string{true: "q", false: "p"}[good[len(good)-1] == 'p'])
	short := s.file("short hex", strings.Repeat("7f", 31))
	zero := s.file("zero", strings.Repeat("00", 32))
	seedText, err := os.ReadFile(seed)
	if err != nil {
		t.Fatal(err)
	}
	broken := s.file("broken seed", strings.TrimSpace(string(seedText))[:50]+"AAAA")
	pem := s.file("key.pem", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0IHNlY3JldCBzZWNyZXQ=\n-----END PRIVATE KEY-----")
	token := s.file("token", "too-short-token")
	users := s.file("users", strings.TrimSpace(string(seedText))+" operator")
	server, err := natsd.Start(natsd.Config{
		Dir: t.TempDir(), MaxStore: 1 << 40, Listen: "127.0.0.1:0", Users: []*server.User{{Username: "somebody", Password: "else"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	there := strings.TrimPrefix(server.URL(), "nats://") // and lets nobody in
	for _, args := range [][]string{
		{"publish", "--relays", "wss://a.example", "--relay", "ws://127.0.0.1:1", "--nsec-file", mistyped},
		{"publish", "--relays", "wss://a.example", "--relay", "ws://127.0.0.1:1", "--nsec-file", short},
		{"publish", "--relays", "wss://a.example", "--relay", "ws://127.0.0.1:1", "--nsec-file", zero},
		{"publish", "--relays", "wss://a.example", "--relay", "ws://127.0.0.1:1", "--nsec-file", nsec},
		{"publish", "--relays", "wss://a.example", "--relay", "ws://127.0.0.1:1", "--nsec-file", good},
		{"up", "--data", t.TempDir(), "--nsec-file", good},
		{"up", "--data", t.TempDir(), "--p2p-key-file", good},
		{"config", "--nsec-file", good},
		{"status", "--nats-creds", strings.TrimSpace(string(seedText))},
		{"resolve", good},
		{"fetch", good, "--relay", "ws://127.0.0.1:1"},
		{"up", "--data", t.TempDir(), "--nats-listen", "", "--nsec-file", mistyped},
		{"up", "--data", t.TempDir(), "--nats-listen", "", "--p2p-listen", "127.0.0.1:0", "--p2p-key-file", mistyped},
		{"up", "--data", t.TempDir(), "--nats-listen", "", "--console-token-file", token},
		{"up", "--data", t.TempDir(), "--nats-listen", "0.0.0.0:0", "--nats-users", users},
		{"status", "--nats-creds", broken},
		{"status", "--nats-creds", pem},
		{"status", "--nats-ca", seed},
		{"status", "--nats-cert", pem, "--nats-key", pem},
		{"status", "--nats", "nats://" + there, "--nats-creds", creds},
		{"status", "--nats", "nats://" + there, "--nats-creds", seed},
		{"status", "--nats", "nats://me:" + password + "@" + there},
		{"status", "--nats", "nats://" + password + "@" + there},
		{"status", "--nats", "nats://me:" + password + " @127.0.0.1:1"},
		{"status", "--nats", "nats://me:" + password + "%zz@127.0.0.1:1"},
		{"doctor", "--nats", "nats://me:" + password + "@" + there, "--skip", "relay,dht"},
		{"doctor", "--nats", "nats://me:" + password + "%zz@127.0.0.1:1", "--skip", "relay,dht", "--json"},
		{
			"config", "--nats", "nats://me:" + password + "@" + there, "--nsec-file", nsec, "--nats-creds", creds,
			"--p2p-key-file", mistyped, "--console-token-file", token,
		},
		{
			"config", "--json", "--nats", "nats://me:" + password + "@" + there + ",nats://" + password + "@b", "--nsec-file",
			nsec, "--nats-creds", creds,
		},
		{"config", "--json", "--nats", "nats://me:" + password + "%zz@127.0.0.1:1"},
	} {
		code, stdout, stderr := here(args...)
		if args[0] != "config" && (code == 0 || stderr == "" && stdout == "") {
			t.Errorf("%q: exit code %d, %q", args, code, stderr)
		}
		s.check(fmt.Sprintf("relaymesh %s … %s", args[0], args[len(args)-2]), stdout+stderr)
	}
}

// askingRelay wants to know who we are, and is never content.
func askingRelay(t *testing.T) (url string, authenticated chan string) {
	t.Helper()
	authenticated = make(chan string, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		say := func(v ...any) {
			text, _ := json.Marshal(v)
			_ = ws.Write(r.Context(), websocket.MessageText, text)
		}
		say("AUTH", "challenge")
		for {
			_, text, err := ws.Read(r.Context())
			var msg []json.RawMessage
			if err != nil || json.Unmarshal(text, &msg) != nil || len(msg) < 2 {
				return
			}
			switch string(msg[0]) {
			case `"AUTH"`:
				var e struct{ ID string }
				_ = json.Unmarshal(msg[1], &e)
				say("OK", e.ID, false, "restricted: not you")
				select {
				case authenticated <- string(text):
				default:
				}
			case `"REQ"`, `"NEG-OPEN"`:
				var id string
				_ = json.Unmarshal(msg[1], &id)
				say("CLOSED", id, "auth-required: who are you?")
			}
		}
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http"), authenticated
}

// A pipeline that has all secrets, tells everything that it can, is refused, asked
// for everything that it serves, and dies with a trace of all goroutines.
func TestARunningPipelineShowsNoSecret(t *testing.T) {
	t.Parallel()
	s := newSecrets(t)
	relayURL, authenticated := askingRelay(t)
	seed, _ := s.nkey("seed")
	admin, nats := loopback.Addr(), loopback.Addr()
	const token = "a-token-that-is-long-enough"
	public := publicOf(t, seed)
	users := filepath.Join(s.dir, "users")
	if err := os.WriteFile(users, []byte(public+" operator\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "up", "--log-level", "debug", "--data", t.TempDir(), "--relay", relayURL, "--nats-listen", nats, "--nats-users", users,
		"--nsec-file", s.nostrKey("nsec", false), "--p2p-listen", "127.0.0.1:0", "--p2p-key-file", s.nostrKey("p2p key", true),
		"--console-token-file", s.file("token", token), "--admin", admin, "--dht-listen", "127.0.0.1:0", "--dht-bootstrap", "127.0.0.1:1")
	var all locked
	cmd.Stdout, cmd.Stderr = &all, &all
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.check("the relay", <-authenticated) // the signature was asked for, and given
	eventually(t, func() error {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
	for _, page := range []string{
		"/", "/metrics", "/livez", "/readyz", "/dlq", "/relays", "/authors", "/login", "/debug/pprof/",
		"/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/nonsense",
	} {
		_, body := fetch(t, "http://"+admin+page)
		s.check(page, body)
	}
	for _, given := range []string{"wrong", token} {
		resp, err := http.PostForm("http://"+admin+"/login", map[string][]string{"token": {given}})
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		s.check("/login", string(body)+fmt.Sprint(resp.Header))
	}
	if code, stdout, stderr := here("status", "--nats", "nats://"+nats, "--nats-creds", seed); code != 0 {
		t.Errorf("status with the seed: %s%s", stdout, stderr)
	}
	if code, _, stderr := here("status", "--nats", "nats://"+nats); code == 0 || !strings.Contains(stderr, "--nats-creds") {
		t.Errorf("status without: exit code %d, %s", code, stderr)
	}
	if err := cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was made to crash
	log := all.String()
	if !strings.Contains(log, "goroutine ") || !strings.Contains(log, `"level":"DEBUG"`) {
		t.Errorf("no trace or no debug messages in %d bytes of log", len(log))
	}
	s.check("the log", log)
}

func publicOf(t *testing.T, seedFile string) string {
	t.Helper()
	text, err := os.ReadFile(seedFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := nkeys.FromSeed(bytes.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// locked is a buffer for what is printed at the same time.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
