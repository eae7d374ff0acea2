package homerelay

import (
	"errors"
	"log/slog"
	"net"
	"os"
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
		headerTimeout: time.Hour, // so that no other end comes first
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
	silent("127.0.0.2", ofAddress)
	more := silent("127.0.0.2", 1)
	_ = more.SetDeadline(time.Now().Add(time.Minute))
	if _, err := more.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("one address has more than its share")
	}
	silent("127.0.0.3", of.all+of.all/unaskedInAll-ofAddress)
	for from, before := range map[string]int{"127.0.0.5": 1, "127.0.0.1": ofAddress} {
		c := silent(from, before)
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		_, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: relay\r\n\r\n"))
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		if err != nil {
			t.Errorf("from %s: %v", from, err)
		}
	}
}
