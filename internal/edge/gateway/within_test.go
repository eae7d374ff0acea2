package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
)

// A gateway takes no more clients than leave files for their connections to the relay, and says so; enough files need no word.
func TestClientsAreWithinTheFiles(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	for files, want := range map[int]int{8: 2, 256: 75, 1024: 452, 20_000: 9750, 65_536: connectionsInAll, math.MaxInt: connectionsInAll} {
		log.Reset()
		got, beside := within(files, slog.New(slog.NewTextHandler(&log, nil)))
		said := strings.Contains(log.String(), fmt.Sprintf("%d clients of %d open files", want, files))
		if got != want || said != (want < connectionsInAll) {
			t.Errorf("%d files: %d clients, want %d; the log says %s", files, got, want, log.String())
		}
		if files >= 256 && 2*got+beside >= files {
			t.Errorf("%d files are not enough for %d clients and %d connections beside", files, got, beside)
		}
	}
}

// Connections that say nothing take no client's place: of one address there are few, and when all are taken, another address gets
// one of the address with most. Those of a proxy that is believed are clients of many addresses, and are not counted so.
func TestConnectionsThatSayNothing(t *testing.T) {
	t.Parallel()
	const files = 256
	patience := defaultPatience
	patience.header = time.Hour // so that no other end comes first
	g := start(t, khatru(t).URL(), Config{
		Files: files, patience: patience, TrustedProxies: clientaddr.Proxies{netip.MustParsePrefix("127.0.0.9/32")},
	})
	silent := func(from string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(g.URL(), "ws://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	ended := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(patient))
		_, err := c.Read(make([]byte, 1))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	}
	served := func(c net.Conn) bool {
		_ = c.SetDeadline(time.Now().Add(patient))
		_, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: relay\r\n\r\n"))
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		return err == nil
	}
	clients, beside := within(files, slog.New(slog.DiscardHandler))
	ofAddress := clients/8 + unaskedOfAddress
	var all []net.Conn
	for range ofAddress {
		all = append(all, silent("127.0.0.2"))
	}
	if !ended(silent("127.0.0.2")) {
		t.Error("one address has more than its share")
	}
	for range clients + beside - ofAddress {
		all = append(all, silent("127.0.0.3"))
	}
	if !served(all[len(all)-1]) {
		t.Fatal("there is room for as many")
	}
	if !served(silent("127.0.0.4")) {
		t.Error("an address with none gets none")
	}
	if !ended(all[0]) {
		t.Error("nobody gave way")
	}
	for range 2 * files {
		silent("127.0.0.9").Close()
	}
	proxied := make([]net.Conn, 0, ofAddress+9)
	for range ofAddress + 9 {
		proxied = append(proxied, silent("127.0.0.9"))
	}
	if !served(proxied[len(proxied)-1]) {
		t.Error("a proxy has no more connections than a client")
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 5)}}
	ws, _, err := websocket.Dial(t.Context(), g.URL(), &websocket.DialOptions{ //nolint:bodyclose // Dial has read it
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: d.DialContext}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ws.CloseNow()
}
