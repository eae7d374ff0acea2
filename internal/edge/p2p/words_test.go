package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/testkit/dnstest"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
)

// listenRaw serves TCP connections one after the other, and returns the multiaddr.
func listenRaw(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)
}

// Why there is no connection is one sentence in the operator's words, whatever the
// libraries make of it.
func TestWhyThereIsNoPeerIsSaidInOneSentence(t *testing.T) {
	dnstest.StartDNS(t)
	start := func(dial time.Duration) *Host {
		within := defaultTiming
		within.dial = dial
		h, err := Start(Options{AllowPrivate: true, timing: within})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		return h
	}
	// Who answers may take long on a busy machine; who does not is given up soon.
	h, hasty, other := start(time.Minute), start(300*time.Millisecond), start(time.Minute)
	if err := other.Serve("127.0.0.1:0", nil); err != nil {
		t.Fatal(err)
	}
	served := map[string]string{} // by transport
	for _, addr := range other.Addrs() {
		at, _, _ := strings.Cut(addr, "/p2p/")
		served[map[bool]string{true: "quic", false: "tcp"}[strings.Contains(at, "quic")]] = at
	}
	closed := listenRaw(t, func(net.Conn) {})
	host, port, _ := strings.Cut(loopback.Addr(), ":") // where nothing listens
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	for name, c := range map[string]struct {
		from *Host
		addr string
		want string
	}{
		"refused":        {h, fmt.Sprintf("/ip4/%s/tcp/%s", host, port), "connection refused: nothing listens"},
		"silent":         {hasty, listenRaw(t, func(net.Conn) { <-done }), "no answer in time"},
		"silent by QUIC": {hasty, "/ip4/127.0.0.1/udp/9/quic-v1", "no answer in time"},
		"HTTP": {h, listenRaw(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"+strings.Repeat("<p>", 100))
			_, _ = c.Read(make([]byte, 100))
		}), "does not speak libp2p"},
		"closed":       {h, closed, "cut the connection"},
		"another one":  {h, served["tcp"], "another peer answers there"},
		"and by QUIC":  {h, served["quic"], "another peer answers there"},
		"no such host": {h, "/dns/no.such.example.com/tcp/9001", "the DNS has no address"},
		"private":      {strictHost(t), "/ip4/127.0.0.1/tcp/9001", "leads into a private"},
		"private name": {strictHost(t), "/dns/localhost/udp/9001/quic-v1", "private or reserved"},
	} {
		err := openAt(t, c.from, c.addr, anyID(t))
		if err == nil {
			t.Errorf("%s: connected", name)
			continue
		}
		if text := err.Error(); !strings.HasPrefix(text, "no connection: ") || !strings.Contains(text, c.want) || inLayers(text) {
			t.Errorf("%s: %s", name, text)
		}
		if !errors.Is(err, reconcile.ErrInterrupted) {
			t.Errorf("%s: %v may not be tried again", name, err)
		}
	}
}

// inLayers reports whether a text has the marks of a chain of library calls.
func inLayers(text string) bool {
	for _, mark := range []string{
		"failed to", "\n", "dial tcp", "all dials", "[/", "libp2p: ", "interrupted", "stream reset", "0x", "deadline",
	} {
		if strings.Contains(text, mark) {
			return true
		}
	}
	return strings.Count(text, ": ") > 2
}

func TestEachAddressThatDoesNotAnswerHasItsReason(t *testing.T) {
	h, err := Start(Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	closed := listenRaw(t, func(net.Conn) {})
	to, err := ParseAddress("/ip4/127.0.0.1/tcp/1/p2p/" + anyID(t))
	if err != nil {
		t.Fatal(err)
	}
	more, err := ParseAddress(closed + "/p2p/" + to.info.ID.String())
	if err != nil {
		t.Fatal(err)
	}
	to.info.Addrs = append(to.info.Addrs, more.info.Addrs...)
	_, err = h.OpenStream(t.Context(), to, Protocol)
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "at /ip4/127.0.0.1/tcp/1 connection refused") ||
		!strings.Contains(err.Error(), "; at "+closed+" it cut") && !strings.Contains(err.Error(), "at "+closed+" it cut") {
		t.Error(err)
	}
}

// A peer that is connected and does not go on is told of likewise.
func TestWhyAStreamEndedIsSaidInOneSentence(t *testing.T) {
	peer, err := Start(Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	if err := peer.Serve("127.0.0.1:0", func(context.Context, string) (Responder, error) { return nil, errors.New("gone") }); err != nil {
		t.Fatal(err)
	}
	h, err := Start(Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	to, err := ParseAddress(peer.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.OpenStream(t.Context(), to, "/other/1.0.0")
	if err == nil || inLayers(err.Error()) || !strings.Contains(err.Error(), "does not speak /other/1.0.0") {
		t.Error(err)
	}
	peer.node.SetStreamHandler(func(s network.Stream) { _ = s.Reset() })
	if err := openAt(t, h, strings.Split(peer.Addrs()[0], "/p2p/")[0], peer.ID()); err == nil || inLayers(err.Error()) {
		t.Error(err)
	}
}
