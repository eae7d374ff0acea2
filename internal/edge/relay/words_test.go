package relay

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/worded"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// evil are words that would act on a terminal: an escape sequence, one of a single
// character, a line of its own, a turn of the direction, and nothing to see.
const evil = "\x1b[2Jno\u009b1m\r\nthanks\u202e\u200b"

// checkWords checks that an error names the relay once, shows no layers of the
// libraries, and nothing that acts on a terminal.
func checkWords(t *testing.T, url string, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	text := err.Error()
	if n := strings.Count(text, url); n != 1 {
		t.Errorf("%d times the relay: %q", n, text)
	}
	for _, layer := range []string{"failed to", "Get \"", "dial tcp", "lookup ", "x509:", "interrupted: ", "relay misbehaves: relay"} {
		if strings.Contains(text, layer) {
			t.Errorf("layer %q in %q", layer, text)
		}
	}
	for _, part := range want {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in %q", part, text)
		}
	}
	if nostr.Printable(text, 1<<20) != text || len(text) > 600 {
		t.Errorf("unfit for a terminal: %q", text)
	}
}

func TestWhyThereIsNoConnection(t *testing.T) {
	answer := func(status int, header, value string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(header, value)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(evil))
		})
	}
	cut := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	start := func(h http.Handler, tls bool) string {
		server := httptest.NewUnstartedServer(h)
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
		if server.Start(); tls {
			t.Cleanup(server.Close)
			server = httptest.NewUnstartedServer(h)
			server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
			server.StartTLS()
		}
		t.Cleanup(server.Close)
		return strings.Replace(server.URL, "http", "ws", 1)
	}
	plain := start(answer(200, "X", "y"), false)
	for name, tc := range map[string]struct {
		url  string
		want []string
	}{
		"refused":      {"ws://" + loopback.Addr(), []string{"connection refused", "nothing listens"}},
		"no name":      {"wss://nowhere.invalid", []string{"nowhere.invalid", "DNS"}},
		"forbidden":    {start(answer(403, "X", "y"), false), []string{"403", "does not let us in"}},
		"not found":    {start(answer(404, "X", "y"), false), []string{"404", "path"}},
		"no websocket": {start(answer(426, "X", "y"), false), []string{"426", "no relay at this address"}},
		"half of one":  {start(answer(101, "Upgrade", "websocket"), false), []string{"does not speak websocket as it should"}},
		"web page":     {plain, []string{"200", "no relay"}},
		"redirect":     {start(answer(301, "Location", "wss://x.example/\u202e"), false), []string{"301", "wss://x.example/", "right URL"}},
		"out of order": {start(answer(502, "X", "y"), false), []string{"502", "out of order"}},
		"too often":    {start(answer(429, "Retry-After", "9"), false), []string{"429", "too often", "left alone until"}},
		"cut":          {start(cut, false), []string{"cut the connection"}},
		"no TLS":       {strings.Replace(plain, "ws", "wss", 1), []string{"TLS", "ws://"}},
		"TLS":          {strings.Replace(start(cut, true), "wss", "ws", 1), []string{"TLS", "wss://"}},
		"self-signed":  {start(cut, true), []string{"TLS certificate is not valid"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Dial(testContext(t), tc.url, testOptions())
			if name == "no name" {
				err = worded.Error(strings.Replace(err.Error(), "relay wss://nowhere.invalid", "", 1), err) // the name is named
				checkWords(t, "nowhere.invalid", err, tc.want...)
				return
			}
			checkWords(t, tc.url, err, tc.want...)
			p := newPool(t)
			for range 2 { // the second time it is not dialled
				checkWords(t, tc.url, reconcile.Write(testContext(t), p.At(tc.url), nostr.Event{}), tc.want...)
			}
		})
	}
}

// Whatever a relay says and however it ends, what reaches logs, errors and stores is
// harmless and names the relay once.
func TestWordsOfRelaysAreHarmless(t *testing.T) {
	for name, script := range map[string]func(p *peer, msg []json.RawMessage){
		"CLOSED": func(p *peer, msg []json.RawMessage) { p.send("CLOSED", msg[1], evil) },
		"restricted": func(p *peer, msg []json.RawMessage) {
			p.send("CLOSED", msg[1], "restricted: "+evil+strings.Repeat("x", 5000))
		},
		"NEG-ERR": func(p *peer, msg []json.RawMessage) { p.send("NEG-ERR", msg[1], "blocked: "+evil) },
		"NOTICE":  func(p *peer, _ []json.RawMessage) { p.send("NOTICE", "ERROR: negentropy disabled "+evil) },
		"close":   func(p *peer, _ []json.RawMessage) { _ = p.ws.Close(websocket.StatusPolicyViolation, evil) },
		"cut":     func(p *peer, _ []json.RawMessage) { _ = p.ws.CloseNow() },
		"event": func(p *peer, msg []json.RawMessage) {
			for range 2 * tolerated {
				p.send("EVENT", msg[1], map[string]any{"id": evil, "kind": evil, "tags": []any{}})
			}
			p.send("EOSE", msg[1])
		},
	} {
		f := startFake(t, func(p *peer) {
			for msg := p.next(); msg != nil; msg = p.next() {
				if label := unquote(msg[0]); label == "REQ" || label == "NEG-OPEN" {
					script(p, msg)
				}
			}
		})
		c := dial(t, f.url)
		if name == "NEG-ERR" || name == "NOTICE" {
			_, _, err := c.Open(testContext(t), filterAll, []byte{0x61})
			checkWords(t, f.url, err)
			continue
		}
		_, err := collect(t, c, filterAll)
		checkWords(t, f.url, err)
	}
	f := startFake(t, func(p *peer) {
		for msg := p.expect("EVENT"); msg != nil; msg = p.expect("EVENT") {
			var e nostr.Event
			_ = json.Unmarshal(msg[0], &e)
			p.send("OK", e.ID, false, "blocked: "+evil)
		}
	})
	reply, err := dial(t, f.url).Publish(testContext(t), notes(t, 1)[0])
	if err != nil || reply.Reason.Text != nostr.Printable("blocked: "+evil, 1000) || reply.Reason.Code != reconcile.PrefixBlocked {
		t.Errorf("%+v, %v", reply, err)
	}
}

// Why TLS fails is said in words of ours, with the way out where there is one.
func TestWhyTLSFails(t *testing.T) {
	day := func(days int) time.Time { return time.Now().AddDate(0, 0, days) }
	of := func(begins, ends time.Time, names ...string) *x509.Certificate {
		return &x509.Certificate{NotBefore: begins, NotAfter: ends, DNSNames: names}
	}
	old := of(day(-90), day(-1))
	for want, err := range map[string]error{
		"is self-signed, or of an authority": x509.UnknownAuthorityError{Cert: of(day(-1), day(1))},
		"for a.example, b.example and not for c.example": x509.HostnameError{
			Certificate: of(day(-1), day(1), "a.example", "b.example"), Host: "c.example",
		},
		"not for 127.0.0.1": x509.HostnameError{Certificate: of(day(-1), day(1)), Host: "127.0.0.1"},
		"has expired on " + old.NotAfter.UTC().Format(time.DateOnly): x509.CertificateInvalidError{Cert: old, Reason: x509.Expired},
		"clock of this machine":       x509.CertificateInvalidError{Cert: of(day(1), day(9)), Reason: x509.Expired},
		"ca-certificates":             x509.SystemRootsError{Err: errors.New("x")},
		"certificate is not valid: x": errors.New("x509: x" + evil),
	} {
		err = fmt.Errorf("failed to WebSocket dial: failed to send handshake request: Get \"https://x\": %w",
			&tls.CertificateVerificationError{Err: err})
		checkWords(t, "wss://x", fmt.Errorf("wss://x: %w", unconnected(nil, err)), "its TLS certificate is not valid", want)
	}
	alert := fmt.Errorf("failed to WebSocket dial: %w", &net.OpError{Op: "remote error", Err: errors.New("tls: unrecognized name")})
	checkWords(t, "wss://x", fmt.Errorf("wss://x: %w", unconnected(nil, alert)), "it ends the TLS handshake: unrecognized name")
}
