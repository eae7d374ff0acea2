package gateway

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// impatient is for tests of who is slow or silent.
var impatient = patience{
	header: time.Second, handshake: time.Second, stall: 400 * time.Millisecond, slow: 50 * time.Millisecond,
	closing: 200 * time.Millisecond,
}

// connected is impatient with those whose handshake has come to its end, which a busy
// machine may take long for.
func connected() patience {
	p := impatient
	p.header, p.handshake = time.Hour, time.Hour
	return p
}

const handshakeText = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"

// dialRaw connects by TCP alone, and sends.
func dialRaw(t *testing.T, g *Gateway, text string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", g.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patient))
	if _, err := io.WriteString(nc, text); err != nil {
		t.Error(err)
	}
	return nc
}

// endless is a relay that answers a REQ with events without end, and reports when a
// connection has ended.
func endless(t *testing.T, ended chan<- struct{}) string {
	return scripted(t, func(p *peer, _ *http.Request) {
		defer func() { ended <- struct{}{} }()
		if _, _, err := p.ws.Read(p.ctx); err != nil {
			return
		}
		noise := make([]byte, 10_000) // compressing does not help
		_, _ = rand.Read(noise)
		note := []byte(`["EVENT","x","` + hex.EncodeToString(noise) + `"]`)
		for p.ws.Write(p.ctx, websocket.MessageText, note) == nil {
		}
	})
}

// Clients that stop in the middle of a request or of a message, or that do not read,
// lose the connection, at the relay, too; one that only has nothing to say does not.
func TestSlowAndSilentClients(t *testing.T) {
	t.Parallel()
	honest := dial(t, start(t, khatru(t).URL(), Config{patience: connected()}).URL(), websocket.CompressionDisabled, nil)
	var all sync.WaitGroup
	for name, text := range map[string]string{
		"nothing":                "",
		"half a request":         "GET / HTTP/1.1\r\nHost: x\r\nUp",
		"half a header":          handshakeText + "\x81\xfe\x00",
		"half a message":         handshakeText + "\x81\xe40000[\"REQ",
		"half a large one":       handshakeText + "\x81\xff\x00\x00\x00\x00\x00\x01\x00\x000000[\"REQ",
		"half a huge one":        handshakeText + "\x81\xff\x00\x00\x00\x00\x01\x00\x00\x000000[\"REQ",
		"the first of two parts": handshakeText + "\x01\x840000[\"RE",
		"half a compressed one":  handshakeText + "\xc1\xe40000abc",
		"half a pong":            handshakeText + "\x8a\x8a0000",
		"[], and reads nothing":  handshakeText + "\x81\x820000\x6b\x6d",
	} {
		all.Go(func() {
			ended := make(chan struct{}, 1)
			p := impatient
			if strings.HasPrefix(text, handshakeText) {
				p = connected()
			}
			nc := dialRaw(t, start(t, endless(t, ended), Config{patience: p}), text)
			if strings.HasPrefix(text, handshakeText) {
				await(t, name, ended)
			}
			if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: left hanging", name)
			}
		})
	}
	all.Wait()
	note := hometest.Notes(1)[0]
	honest.send(`["EVENT",` + string(nostr.Encode(note)) + `]`)
	honest.expect(`["OK","` + note.ID + `",true,""]`)
}

func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patient):
		t.Errorf("%s: it does not end", what)
	}
}

// A relay that does not answer a handshake, stops in the middle of an answer or of a
// message, or does not read, leaves no client hanging.
func TestSlowAndSilentRelays(t *testing.T) {
	t.Parallel()
	const accepted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
	for name, c := range map[string]struct {
		says, want string // to the client
	}{
		"nothing":           {"", "502"},
		"half an answer":    {"HTTP/1.1 101 Switching Protocols\r\nUpgr", "502"},
		"no HTTP":           {"NOTICE: go away\r\n\r\n", "502"},
		"half a refusal":    {"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nhalf", "403"},
		"half a message":    {accepted + "\x81\x7e\x01\x00[\"EVENT\"", "101"},
		"half of a huge":    {accepted + "\x81\x7f\x00\x00\x00\x00\x01\x00\x00\x00[\"EVENT\"", "101"},
		"one of two parts":  {accepted + "\x01\x04[\"EV", "101"},
		"half a ping":       {accepted + "\x89\x04ab", "101"},
		"and reads nothing": {accepted, "101"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := connected()
			if c.want != "101" {
				p.handshake = impatient.handshake
			}
			g := start(t, silent(t, c.says), Config{patience: p})
			nc := dialRaw(t, g, handshakeText)
			from := bufio.NewReader(nc)
			resp, err := http.ReadResponse(from, nil)
			if err != nil || !strings.HasPrefix(resp.Status, c.want) {
				t.Fatalf("the client is answered %v, %v", resp, err)
			}
			defer resp.Body.Close()
			switch {
			case c.want != "101":
				_, err = io.Copy(io.Discard, resp.Body)
			case c.says == accepted:
				frame := "\x81\xfe\x27\x100000" + strings.Repeat("x", 10_000)
				for err == nil {
					_, err = io.WriteString(nc, frame)
				}
			default:
				_, err = io.Copy(io.Discard, from)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the client is left hanging")
			}
		})
	}
}

// silent is a relay that says one thing to each connection and then nothing, and
// reads nothing but the handshake.
func silent(t *testing.T, says string) (url string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { nc.Close() })
			_, _ = nc.Read(make([]byte, 4<<10))
			_, _ = io.WriteString(nc, says)
		}
	}()
	return "ws://" + ln.Addr().String()
}

// A large message that comes slowly passes whole, but is not held until it is there:
// in one frame, and in parts.
func TestSlowMessagesAreNotHeld(t *testing.T) {
	t.Parallel()
	const slow = time.Second // longer than half of it takes to arrive
	text := `["REQ","` + strings.Repeat("x", 100_000) + `",{}]`
	for name, frame := range map[string]string{
		"one frame": fmt.Sprintf("\x81\xff%s\x00\x00\x00\x00%s", number(len(text)), text),
		"parts":     fmt.Sprintf("\x01\xff%s\x00\x00\x00\x00%s\x80\x80\x00\x00\x00\x00", number(len(text)), text),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			relay := scripted(t, func(p *peer, _ *http.Request) { got <- p.read() })
			g := start(t, relay, Config{patience: patience{header: time.Minute, handshake: time.Minute, stall: time.Minute, slow: slow}})
			nc := dialRaw(t, g, handshakeText+frame[:50_000])
			eventually(t, "something is held", func() bool { return heldBy(g) > 0 })
			time.Sleep(slow)
			if _, err := io.WriteString(nc, frame[50_000:60_000]); err != nil {
				t.Fatal(err)
			}
			eventually(t, "nothing is held", func() bool { return heldBy(g) == 0 })
			if _, err := io.WriteString(nc, frame[60_000:]); err != nil {
				t.Fatal(err)
			}
			if message := <-got; message != text {
				t.Errorf("the relay got %.100s", message)
			}
		})
	}
}

// number is a length in a header.
func number(n int) string {
	return string([]byte{0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func heldBy(g *Gateway) int {
	g.held.mu.Lock()
	defer g.held.mu.Unlock()
	return g.held.sum
}

// eventually waits for a state that nothing tells of.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(patient); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("it never is so that %s", what)
		}
	}
}
