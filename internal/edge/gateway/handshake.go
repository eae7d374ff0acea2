package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
)

const (
	// maxAnswer is how long that answer may be, in bytes, if it is a refusal with
	// what it says.
	maxAnswer = 64 << 10
)

// hopHeader says that a relaymesh asks, for what the relay itself has. So two
// gateways never ask each other in circles.
const hopHeader = "Relaymesh-Hop"

// authHeader is how an embedded relay says that it asks strangers for AUTH for the sake
// of private events alone, which a gateway sends nobody.
const authHeader = "Relaymesh-Auth"

// ServeHTTP lets a client through to the relay.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	share := clientaddr.Share(g.proxies.Of(req))
	ctx, cancel := context.WithCancel(g.ctx)
	leave, ok := g.slots.Take(share.String(), func() {
		g.metrics.evicted.Inc()
		cancel()
	})
	if !ok {
		cancel()
		g.metrics.refused.Inc()
		w.Header().Set("Retry-After", "60")
		http.Error(w, "too many concurrent connections from this address", http.StatusServiceUnavailable)
		return
	}
	if !strings.EqualFold(req.Header.Get("Upgrade"), "websocket") {
		defer leave()
		defer cancel()
		g.plain.ServeHTTP(w, req)
		return
	}
	client, relay, compress, err := g.connect(ctx, w, req)
	if err != nil {
		leave()
		cancel()
		g.metrics.refused.Inc()
		g.log.DebugContext(req.Context(), "no connection", "err", err)
		return
	}
	c := &conn{
		gateway: g, share: share, held: account{g.held, share}, hop: req.Header.Get(hopHeader) != "", ctx: ctx, cancel: cancel,
	}
	// A goroutine of its own, since that of the request would keep the request, and
	// a larger stack.
	served := g.serving.Go(func() {
		defer leave()
		c.serve(client, relay, compress)
	})
	if !served { // the gateway has ended meanwhile
		leave()
		cancel()
		client.Close()
		relay.Close()
	}
}

// connect makes the handshake with the relay, as the client began it, and answers
// the client with what the relay says. After an error the client has been answered.
func (g *Gateway) connect(ctx context.Context, w http.ResponseWriter, req *http.Request) (client, relay end, compress bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, g.patience.handshake)
	defer cancel()
	relay, resp, err := g.ask(ctx, req)
	if err != nil {
		http.Error(w, "the relay does not answer", http.StatusBadGateway)
		return client, relay, false, err
	}
	stop := context.AfterFunc(ctx, func() { relay.Close() })
	defer stop()
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer relay.Close()
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body) // a client that left needs no answer
		return client, relay, false, fmt.Errorf("the relay answers %s", resp.Status)
	}
	if resp.Header.Get("Sec-WebSocket-Extensions") != "" {
		relay.Close()
		http.Error(w, "the relay agrees to an extension that was not offered", http.StatusBadGateway)
		return client, relay, false, fmt.Errorf("the relay agrees to %q", resp.Header.Get("Sec-WebSocket-Extensions"))
	}
	if compress = agrees(req.Header.Values("Sec-WebSocket-Extensions")); compress {
		resp.Header.Set("Sec-WebSocket-Extensions", extension)
	}
	taken, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		relay.Close()
		http.Error(w, "a websocket is that of HTTP/1.1", http.StatusInternalServerError)
		return client, relay, false, err
	}
	client.Conn = taken
	client.came, _ = buffered.Peek(buffered.Reader.Buffered()) // what is buffered can be peeked at
	client.came = slices.Clone(client.came)
	if err := g.answer(taken, resp.Header); err != nil {
		relay.Close()
		taken.Close()
		return client, relay, false, err
	}
	return client, relay, compress, nil
}

// answer ends the handshake with the client.
func (g *Gateway) answer(client net.Conn, header http.Header) error {
	var b strings.Builder
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	if err := header.Write(&b); err != nil {
		return err
	}
	b.WriteString("\r\n")
	if err := client.SetDeadline(time.Now().Add(g.patience.handshake)); err != nil {
		return err
	}
	if _, err := io.WriteString(client, b.String()); err != nil {
		return err
	}
	return client.SetDeadline(time.Time{})
}

// ask sends the client's handshake to the relay and reads the answer.
func (g *Gateway) ask(ctx context.Context, req *http.Request) (end, *http.Response, error) {
	relay, err := g.dial(ctx)
	if err != nil {
		return end{}, nil, err
	}
	stop := context.AfterFunc(ctx, func() { relay.Close() })
	out := g.outgoing(req)
	// To a relay beside us bytes cost nothing, and compressing them does.
	out.Header.Del("Sec-WebSocket-Extensions")
	err = out.Write(relay)
	from := bufio.NewReader(io.LimitReader(relay, maxAnswer))
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(from, out)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		relay.Close()
		return end{}, nil, fmt.Errorf("relay %s: %w", g.relay.Redacted(), err)
	}
	came, _ := from.Peek(from.Buffered()) // what is buffered can be peeked at
	return end{relay, slices.Clone(came), resp.Header.Get(authHeader) == "private"}, resp, nil
}

// outgoing is the client's request as the relay gets it. Whatever says of the client
// where it is was written by proxies that we believe, or is left out.
func (g *Gateway) outgoing(req *http.Request) *http.Request {
	out := req.Clone(req.Context())
	out.Body, out.ContentLength = http.NoBody, 0
	out.RequestURI = ""
	if out.Header.Get("User-Agent") == "" {
		out.Header.Set("User-Agent", "") // else the library writes its own
	}
	out.URL = g.target(req.URL)
	g.forward(out.Header, req)
	return out
}

// target is where at the relay a path of ours is.
func (g *Gateway) target(at *url.URL) *url.URL {
	to := *at
	to.Scheme, to.Host = "http"+strings.TrimPrefix(g.relay.Scheme, "ws"), g.relay.Host
	if base := strings.TrimSuffix(g.relay.Path, "/"); base != "" {
		to.Path, to.RawPath = base+at.Path, ""
		if at.Path == "/" {
			to.Path = base
		}
	}
	return &to
}

// saysWhere reports whether a header is one by which proxies say where a client is. There is no list of them, and relays can be told to
// believe any: those that are in use have such names. Some servers take an underscore for a dash.
func saysWhere(header string) bool {
	name := strings.ToLower(strings.ReplaceAll(header, "_", "-"))
	return strings.Contains(name, "forwarded") ||
		slices.ContainsFunc([]string{"ip", "ipv4", "ipv6", "addr", "address"}, func(end string) bool { return strings.HasSuffix(name, end) })
}

// forward writes to the header of a request to the relay who has sent it.
func (g *Gateway) forward(out http.Header, req *http.Request) {
	peer := clientaddr.Peer(req)
	before := strings.Join(req.Header.Values("X-Forwarded-For"), ", ")
	if !g.proxies.Trust(peer) {
		maps.DeleteFunc(out, func(name string, _ []string) bool { return saysWhere(name) })
		before = ""
	}
	if before != "" {
		before += ", "
	}
	out.Set("X-Forwarded-For", before+peer.String())
	out.Set("X-Real-Ip", g.proxies.Of(req).String())
	if out.Get("X-Forwarded-Proto") == "" {
		out.Set("X-Forwarded-Proto", map[bool]string{false: "http", true: "https"}[g.secure])
	}
}

// dial connects to the relay.
func (g *Gateway) dial(ctx context.Context) (net.Conn, error) {
	host, port := g.relay.Hostname(), g.relay.Port()
	if g.relay.Scheme == "wss" {
		d := tls.Dialer{Config: g.tls}
		return d.DialContext(ctx, "tcp", net.JoinHostPort(host, orDefault(port, "443")))
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", net.JoinHostPort(host, orDefault(port, "80")))
}

func orDefault(port, standard string) string {
	if port == "" {
		return standard
	}
	return port
}
