package homerelay

import (
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Of connections that say nothing one address has few, and when all are taken, a client of another address gets in. The pipeline's
// own are not counted.
func TestConnectionsThatSayNothing(t *testing.T) {
	t.Parallel()
	const files = 400
	r, err := Start(t.Context(), Config{
		Path: filepath.Join(t.TempDir(), "relay.db"), Log: slog.New(slog.DiscardHandler), maxFiles: files,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	silent := func(from string, count int) (last net.Conn) {
		t.Helper()
		for range count {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			c, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(r.URL(), "ws://"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			last = c
		}
		return last
	}
	of := r.ledger.shares[connections]
	ofAddress := of.party + unaskedOfAddress
	for try := range 10 {
		begun := time.Now()
		silent("127.0.0.2", ofAddress)
		full := time.Now()
		_, _ = silent("127.0.0.2", 1).Read(make([]byte, 1)) // it ends, either way
		if time.Since(full) <= readHeaderTimeout*9/10 {
			break
		}
		// On a busy machine the first have ended before the last have come.
		if full.Sub(begun) < readHeaderTimeout/2 || try == 9 {
			t.Fatal("one address has more than its share, until it has said nothing for too long")
		}
	}
	silent("127.0.0.3", of.all+of.all/unaskedInAll-ofAddress)
	for from, before := range map[string]int{"127.0.0.5": 1, "127.0.0.1": ofAddress} {
		c := silent(from, before)
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: relay\r\n\r\n"))
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		if err != nil {
			t.Errorf("from %s: %v", from, err)
		}
	}
}
