package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// addrOf returns where a host listens by TCP (/tcp/) or QUIC (/quic-v1/).
func addrOf(t *testing.T, h *Host, transport string) string {
	t.Helper()
	for _, addr := range h.Addrs() {
		if strings.Contains(addr, transport) {
			return addr
		}
	}
	t.Fatalf("no %s in %v", transport, h.Addrs())
	return ""
}

// dialRaw connects to a host's TCP port from an address of loopback.
func dialRaw(t *testing.T, h *Host, from string) net.Conn {
	t.Helper()
	at, err := ma.NewMultiaddr(strings.Split(addrOf(t, h, "/tcp/"), "/p2p/")[0])
	if err != nil {
		t.Fatal(err)
	}
	_, to, err := manet.DialArgs(at)
	if err != nil {
		t.Fatal(err)
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Skipf("this machine has no %s: %v", from, err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Connections that never end their handshake, from ten addresses, shut out
// nobody, neither by TCP nor by QUIC, though each comes again as soon as it is
// ended.
func TestConnectionsBeforeTheHandshakeShutOutNobody(t *testing.T) {
	for name, says := range map[string]string{
		"silent":                 "",
		"half a word":            "\x13/multistream/1",
		"a security and no more": "\x13/multistream/1.0.0\n\x07/noise\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := serveMemoryRelay(t, newMemoryRelay(signed()[0]), timing{})
			ctx, cancel := context.WithCancel(t.Context())
			var holding sync.WaitGroup
			t.Cleanup(func() { cancel(); holding.Wait() })
			for i := range 64 {
				conn := dialRaw(t, h, fmt.Sprintf("127.0.0.%d", 2+i%10))
				if _, err := io.WriteString(conn, says); err != nil {
					t.Log(err) // it is refused already
				}
				holding.Go(func() { comeAgain(ctx, conn, says) })
			}
			for _, transport := range []string{"/tcp/", "/quic-v1/"} {
				_, _, err := newPeer(t, addrOf(t, h, transport), timing{}).Open(ctx, nostr.Filter{}, []byte{0x61, 0, 0, 2, 0})
				if err != nil {
					t.Errorf("%s: %v", transport, err)
				}
			}
		})
	}
}

// comeAgain holds a connection until it is ended, and then another one from the same address, until ctx ends.
func comeAgain(ctx context.Context, conn net.Conn, says string) {
	again := net.Dialer{LocalAddr: &net.TCPAddr{IP: conn.LocalAddr().(*net.TCPAddr).IP}}
	to := conn.RemoteAddr().String()
	for {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		_, _ = io.Copy(io.Discard, conn)
		stop()
		conn.Close()
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond): // the test is of many connections, not of a loop without a pause
		}
		var err error
		if conn, err = again.DialContext(ctx, "tcp", to); err != nil {
			return // the host has ended
		}
		_, _ = io.WriteString(conn, says)
	}
}

// Connections of one address after the handshake have a bound, and it is one of
// each transport.
func TestConnectionsOfOneAddressByTCPLeaveThoseByQUIC(t *testing.T) {
	t.Parallel()
	h := serveMemoryRelay(t, newMemoryRelay(), timing{})
	tcp := addrOf(t, h, "/tcp/")
	taken := 0
	for range 12 {
		p := newPeer(t, tcp, timing{})
		s, err := p.host.open(t.Context(), p.addr)
		if err != nil {
			continue
		}
		t.Cleanup(s.reset)
		taken++
	}
	if taken == 0 || taken > 8 {
		t.Errorf("%d connections of one address by TCP", taken)
	}
	p := newPeer(t, addrOf(t, h, "/quic-v1/"), timing{})
	if s, err := p.host.open(t.Context(), p.addr); err != nil {
		t.Errorf("by QUIC: %v", err)
	} else {
		s.reset()
	}
}

// Streams that never become a session end with their address's part, and whoever
// opens streams without end loses the connection and may not come again at once.
func TestStreamFloods(t *testing.T) {
	for name, once := range map[string]func(network.Stream){
		"opened and reset":     func(s network.Stream) { _ = s.Reset() },
		"opened and half said": func(s network.Stream) { _, _ = io.WriteString(s, "\x13/multi") },
		"another protocol": func(s network.Stream) {
			_, _ = io.WriteString(s, "\x13/multistream/1.0.0\n\x06/none\n")
			_ = s.CloseWrite()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := serveMemoryRelay(t, newMemoryRelay(), timing{})
			p := newPeer(t, addrOf(t, h, "/tcp/"), timing{})
			first, err := p.host.open(t.Context(), p.addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(first.reset)
			conn := first.raw.Conn()
			ended := time.After(time.Minute)
			for opened := 0; !conn.IsClosed(); opened++ {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				s, err := conn.NewStream(ctx)
				cancel()
				if err == nil {
					once(s)
					_ = s.Reset() // so that our own bound does not hold it up
				}
				select {
				case <-ended:
					t.Fatalf("after %d streams the connection lives on", opened)
				default:
				}
			}
			s, err := p.host.open(t.Context(), p.addr)
			if err != nil {
				return // not even connected
			}
			t.Cleanup(s.reset)
			if _, err := io.WriteString(s.raw, openLine); err == nil {
				if got := refusal(t, s); !strings.Contains(got, "misbehaving") {
					t.Errorf("served again: %s", got)
				}
			}
		})
	}
}

// Lines without end in slot of a protocol end a stream, long before its time.
func TestNegotiationsAreBounded(t *testing.T) {
	for name, line := range map[string]string{
		"protocols that we do not speak": "\x06/none\n",
		"lists":                          "\x03ls\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := defaultTiming
			limits.dial = time.Hour // so that no other end comes first
			h := serveMemoryRelay(t, newMemoryRelay(), limits)
			p := newPeer(t, addrOf(t, h, "/quic-v1/"), timing{})
			first, err := p.host.open(t.Context(), p.addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(first.reset)
			s, err := first.raw.Conn().NewStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			go io.Copy(io.Discard, s)
			_ = s.SetWriteDeadline(time.Now().Add(time.Minute))
			_, err = io.WriteString(s, "\x13/multistream/1.0.0\n")
			sent := 0
			for err == nil {
				sent += len(line)
				_, err = io.WriteString(s, line)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("it is read on after %d bytes", sent)
			}
		})
	}
}
