package gateway

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
	"github.com/relaymesh/relaymesh/internal/testkit/flood"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
)

var modes = map[string]websocket.CompressionMode{
	"plain": websocket.CompressionDisabled, "compressed": websocket.CompressionNoContextTakeover,
}

// A client of ours, which compresses, writes, reads and syncs with a real relay.
func TestRelayBehindTheGateway(t *testing.T) {
	t.Parallel()
	r := khatru(t)
	g := start(t, r.URL(), Config{})
	notes := hometest.Notes(300)
	hometest.Publish(t, g.URL(), notes...)
	want := hometest.IDsOf(notes...)
	if got := hometest.IDsAt(t, g.URL()); !slices.Equal(got, want) {
		t.Errorf("through the gateway are %d notes, want %d", len(got), len(want))
	}
	if got := hometest.IDsAt(t, r.URL()); !slices.Equal(got, want) {
		t.Errorf("at the relay are %d notes, want %d", len(got), len(want))
	}
}

// Messages of any size and kind pass as they are.
func TestMessagesPassAsTheyAre(t *testing.T) {
	t.Parallel()
	echo := scripted(t, func(p *peer, _ *http.Request) {
		for {
			typ, data, err := p.ws.Read(p.ctx)
			if err != nil || p.ws.Write(p.ctx, typ, data) != nil {
				return
			}
		}
	})
	g := start(t, echo, Config{})
	random := make([]byte, 16<<20)
	_, _ = rand.Read(random)
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, g.URL(), mode, nil)
			for _, size := range []int{
				0, 1, 125, 126, 1023, 1024, 1025, 4 << 10, 65_535, 65_536, 300 << 10, maxInspected, maxInspected + 1, 5 << 20,
			} {
				for _, typ := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
					sent := random[:size]
					if typ == websocket.MessageText {
						sent = []byte(`["REQ","` + strings.Repeat("é", size/2) + `"]`)
					}
					go c.ws.Write(c.ctx, typ, sent)
					got, data, err := c.ws.Read(c.ctx)
					if err != nil || got != typ || string(data) != string(sent) {
						t.Fatalf("%d bytes of %v: got %d of %v, %v", len(sent), typ, len(data), got, err)
					}
				}
			}
			if err := pinged(c); err != nil {
				t.Errorf("ping: %v", err)
			}
		})
	}
	t.Run("16 MiB in parts, with pings between", func(t *testing.T) {
		t.Parallel()
		c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
		go func() {
			w, err := c.ws.Writer(c.ctx, websocket.MessageBinary)
			if err != nil {
				t.Error(err)
			}
			for part := range slices.Chunk(random, 1<<20) {
				if _, err := w.Write(part); err != nil {
					t.Error(err)
				}
			}
			w.Close()
		}()
		_, data, err := c.ws.Read(c.ctx)
		if err != nil || string(data) != string(random) {
			t.Errorf("got %d bytes, %v", len(data), err)
		}
	})
}

// A message of 16 MiB in one frame passes both ways, plain and compressed, and nothing is held of it then.
func TestFramesOf16MiB(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("under the race detector it takes half of the time that these clients have")
	}
	const size = 16 << 20
	gate := make(chan struct{})
	relay := scripted(t, func(p *peer, _ *http.Request) {
		typ, r, err := p.ws.Reader(p.ctx)
		if err != nil {
			return
		}
		<-gate // so that what comes has to wait
		data, err := io.ReadAll(r)
		if err == nil {
			err = p.ws.Write(p.ctx, typ, data)
		}
		if err != nil {
			t.Error(err)
		}
		p.ended()
	})
	sent := []byte(`["REQ","` + strings.Repeat("x", size-len(`["REQ","",{"ids":["ab"]}]`)) + `",{"ids":["ab"]}]`)
	g := start(t, relay, Config{Fetch: newWorld().fetch})
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			c := dial(t, g.URL(), mode, nil)
			wrote := make(chan error, 1)
			go func() { wrote <- c.ws.Write(c.ctx, websocket.MessageText, sent) }()
			gate <- struct{}{}
			if _, got, err := c.ws.Read(c.ctx); err != nil || string(got) != string(sent) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			if err := <-wrote; err != nil {
				t.Error(err)
			}
			if n := heldBy(g); n > 0 {
				t.Errorf("%d bytes are held of a message that has passed", n)
			}
		})
	}
}

// pinged waits for the relay's answer to a ping.
func pinged(c *peer) error {
	ctx := c.ws.CloseRead(c.ctx)
	return c.ws.Ping(ctx)
}

// A message in several frames passes in both directions, with a control frame
// between them, and an EOSE in two frames is one.
func TestMessagesInParts(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 1)
	relay := scripted(t, func(p *peer, _ *http.Request) {
		w, _ := p.ws.Writer(p.ctx, websocket.MessageText)
		_, _ = io.WriteString(w, `["NOTICE",`)
		_, _ = io.WriteString(w, `"in parts"]`)
		w.Close()
		heard <- p.read()
		p.ended()
	})
	c := dial(t, start(t, relay, Config{}).URL(), websocket.CompressionDisabled, nil)
	c.expect(`["NOTICE","in parts"]`)
	w, _ := c.ws.Writer(c.ctx, websocket.MessageText)
	_, _ = io.WriteString(w, `["RE`)
	_, _ = io.WriteString(w, `Q","x",{}]`)
	w.Close()
	if got := <-heard; got != `["REQ","x",{}]` {
		t.Errorf("the relay got %s", got)
	}
}

// Close codes pass both ways, and a relay that is killed leaves nobody hanging.
func TestCloseCodes(t *testing.T) {
	t.Parallel()
	status := make(chan websocket.StatusCode, 1)
	relay := scripted(t, func(p *peer, req *http.Request) {
		switch req.URL.Path {
		case "/closes":
			p.ws.Close(4003, "go")
		case "/dies":
		default:
			status <- p.ended()
		}
	})
	g := start(t, relay, Config{})
	if got := dial(t, g.URL()+"/closes", websocket.CompressionDisabled, nil).ended(); got != 4003 {
		t.Errorf("the client got %d", got)
	}
	if got := dial(t, g.URL()+"/dies", websocket.CompressionDisabled, nil).ended(); got != -1 {
		t.Errorf("the client got %d of a relay that said nothing", got)
	}
	c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
	if err := c.ws.Close(3005, "enough"); err != nil {
		t.Errorf("closing: %v", err)
	}
	if got := <-status; got != 3005 {
		t.Errorf("the relay got %d", got)
	}
	c = dial(t, g.URL(), websocket.CompressionDisabled, nil)
	go g.Close()
	if got := c.ended(); got != websocket.StatusGoingAway {
		t.Errorf("a gateway that closes says %d", got)
	}
	<-status
}

// A relay that restarts under many clients ends all of them.
func TestRelayRestarts(t *testing.T) {
	t.Parallel()
	r, err := khatrutest.Start(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, r.URL(), Config{})
	var clients []*peer
	for range 200 {
		c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
		c.send(`["REQ","x",{"kinds":[1]}]`)
		clients = append(clients, c)
	}
	for _, c := range clients {
		c.expect(`["EOSE","x"]`)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	for _, c := range clients {
		c.ended()
	}
	resp, err := http.Get("http" + strings.TrimPrefix(g.URL(), "ws"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadGateway {
		t.Errorf("without a relay the gateway answers %s", resp.Status)
	}
	_, resp, err = websocket.Dial(t.Context(), g.URL(), nil) //nolint:bodyclose // Dial has read it
	if err == nil || resp == nil || resp.StatusCode != http.StatusBadGateway {
		t.Errorf("without a relay a handshake ends with %v", err)
	}
}

// What a client says of where it is counts for nothing, unless a proxy that is
// believed says it.
func TestForwardedFor(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 1)
	relay := scripted(t, func(_ *peer, req *http.Request) { got <- req.Header })
	forged := http.Header{
		"X-Forwarded-For": {"198.51.100.1, 192.0.2.1"}, "X-Real-Ip": {"198.51.100.1"}, "Cf-Connecting-Ip": {"198.51.100.1"},
		"Forwarded": {"for=198.51.100.1"}, "User-Agent": {"client"},
	}
	for _, name := range []string{
		"True-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Forwarded-For", "X-Forwarded", "Forwarded-For", "X-Remote-Addr", "Client-Ip",
		"X-Envoy-External-Address", "Cf-Connecting-Ipv6", "X-Azure-Clientip", "X_Forwarded_For", "x_real_ip", "X-Appengine-User-Ip",
	} {
		forged[name] = []string{"198.51.100.1"}
	}
	strange := start(t, relay, Config{})
	dial(t, strange.URL(), websocket.CompressionDisabled, forged)
	h := <-got
	for name, values := range h {
		if strings.Contains(strings.Join(values, " "), "198.51.100.1") {
			t.Errorf("the relay is told %s: %q", name, values)
		}
	}
	if h.Get("X-Forwarded-For") != "127.0.0.1" || h.Get("X-Real-Ip") != "127.0.0.1" || h.Get("Cf-Connecting-Ip")+h.Get("Forwarded") != "" {
		t.Errorf("the relay is told %v", h)
	}
	if h.Get("User-Agent") != "client" {
		t.Errorf("the client is %q to the relay", h.Get("User-Agent"))
	}
	proxies, err := clientaddr.Parse([]string{"127.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	trusting := start(t, relay, Config{TrustedProxies: proxies})
	dial(t, trusting.URL(), websocket.CompressionDisabled, forged)
	h = <-got
	if h.Get("X-Forwarded-For") != "198.51.100.1, 192.0.2.1, 127.0.0.1" || h.Get("X-Real-Ip") != "192.0.2.1" {
		t.Errorf("behind a proxy the relay is told %v", h)
	}
}

// A message of a few bytes that inflates without end costs its sender the
// connection, and the relay no more than 16 MiB.
func TestCompressionBomb(t *testing.T) {
	t.Parallel()
	sizes := make(chan int, 1)
	relay := scripted(t, func(p *peer, _ *http.Request) {
		_, r, err := p.ws.Reader(p.ctx)
		if err != nil {
			t.Error(err)
			return
		}
		n, _ := io.Copy(io.Discard, r)
		sizes <- int(n)
	})
	c := dial(t, start(t, relay, Config{}).URL(), websocket.CompressionNoContextTakeover, nil)
	go c.ws.Write(c.ctx, websocket.MessageText, make([]byte, 40<<20))
	c.ended()
	if n := <-sizes; n > mostInflated {
		t.Errorf("the relay got %d bytes", n)
	}
}

// One address gets its share of connections, and another one still gets in.
func TestConnectionsByAddress(t *testing.T) {
	t.Parallel()
	relay := scripted(t, func(p *peer, _ *http.Request) { p.ended() })
	g := start(t, relay, Config{Files: 700 + 14})
	var all sync.WaitGroup
	const ofAddress = 300 / 8
	leave := make([]func(), 0, ofAddress)
	for range ofAddress {
		l, ok := g.slots.Take("127.0.0.1/32", nil)
		if !ok {
			t.Fatal("a slot is missing")
		}
		leave = append(leave, l)
	}
	_, resp, err := websocket.Dial(t.Context(), g.URL(), nil) //nolint:bodyclose // Dial has read it
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one more connection: %v", err)
	}
	//nolint:bodyclose // Dial has read it
	_, resp, err = websocket.Dial(t.Context(), g.URL(), &websocket.DialOptions{HTTPHeader: from("192.0.2.1")})
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one that claims to be at another address: %v", err)
	}
	for _, l := range leave {
		l()
	}
	dial(t, g.URL(), websocket.CompressionDisabled, nil)
	all.Wait()
}

// The document of the relay stays as it is, and says what stands before it.
func TestInformationDocument(t *testing.T) {
	t.Parallel()
	r := khatru(t)
	g := start(t, r.URL(), Config{Version: "9.9"})
	info := func(url string) string {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http"+strings.TrimPrefix(url, "ws"), nil)
		req.Header.Set("Accept", "application/nostr+json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		return string(data)
	}
	direct, through := strings.TrimSpace(info(r.URL())), info(g.URL())
	if begin := strings.TrimSuffix(direct, "}"); !strings.HasPrefix(through, begin) || !strings.Contains(through, `"version":"9.9"`) {
		t.Errorf("%s became %s", direct, through)
	}
	for _, doc := range []string{`[]`, `null`, `{"relaymesh_gateway":1}`, `{`, ``} {
		if got, changed := withFacts([]byte(doc), []byte("{}")); changed {
			t.Errorf("%s became %s", doc, got)
		}
	}
	if got, _ := withFacts([]byte("{ }\n"), []byte("{}")); string(got) != `{"relaymesh_gateway":{}}` {
		t.Errorf("an empty document became %s", got)
	}
}

// A message without end that inflates to nothing is cut off, and so are many.
func TestWhatInflatesToNothingIsCutOff(t *testing.T) {
	t.Parallel()
	relay := scripted(t, func(p *peer, _ *http.Request) { p.ended() })
	g := start(t, relay, Config{})
	flood.Nothing(t, g.addr.String())
}

// Frames that break the protocol end the connection and nothing else.
func TestBrokenFrames(t *testing.T) {
	t.Parallel()
	relay := scripted(t, func(p *peer, _ *http.Request) { p.ended() })
	g := start(t, relay, Config{})
	for _, frame := range []string{
		"\x89\xfe\xff\xff0000" + strings.Repeat("x", 1<<16), "\x09\x800000", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff0000",
		"\x81\x05hello", "\xf1\x800000", "\x80\x800000",
	} {
		nc, err := net.Dial("tcp", g.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(nc, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n%s", frame)
		_ = nc.SetReadDeadline(time.Now().Add(patient))
		if _, err := io.Copy(io.Discard, nc); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%q: %v", frame, err)
		}
		nc.Close()
	}
	dial(t, g.URL(), websocket.CompressionDisabled, nil)
}
