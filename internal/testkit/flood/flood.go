// Package flood sends what costs a server of websockets work and tells it nothing.
package flood

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// Nothing connects to a server of websockets at an address, host:port, again and again, and
// sends messages that come to nothing: the test fails, in a subtest for each kind, unless
// each connection is ended.
func Nothing(t *testing.T, addr string) {
	t.Helper()
	empty := strings.Repeat("\x02\x08\x20\x80\x00", 20) // four empty blocks each
	for name, c := range map[string]struct{ first, again string }{
		"one message":      {"\xc1\xff\x00\x00\x00\xff\x00\x00\x00\x00\x00\x00\x00\x00", empty},
		"many messages":    {"", "\xc1\xe4\x00\x00\x00\x00" + empty},
		"many fragments":   {"\x41\xe4\x00\x00\x00\x00" + empty, "\x00\xe4\x00\x00\x00\x00" + empty},
		"no message":       {"", "\x89\xe4\x00\x00\x00\x00" + empty}, // pings
		"no compression":   {"\x01\x80\x00\x00\x00\x00", "\x00\x80\x00\x00\x00\x00"},
		"after the stream": {"\xc1\xff\x00\x00\x00\xff\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\xff\xff", empty},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"+c.first)
			many := []byte(strings.Repeat(c.again, 100))
			for sent := 0; err == nil; sent += len(many) {
				if sent > 64<<20 { // far more than sockets hold
					t.Fatal("is read on and on")
				}
				_, err = conn.Write(many)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("is neither read nor cut off")
			}
		})
	}
}
