package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// proxy passes connections on to a relay and counts the bytes, both ways.
type proxy struct {
	addr  string
	bytes atomic.Int64

	cutAt atomic.Int64 // by bytes; 0 for never
	lasts time.Duration
	mu    sync.Mutex
	open  map[net.Conn]bool // nil while the relay is away
}

// cutAfter has the relay be away for a while, once so many bytes have passed: what is open
// is cut, and who comes is sent away.
func (p *proxy) cutAfter(bytes int64, lasts time.Duration) {
	p.lasts = lasts
	p.cutAt.Store(bytes)
}

// passed counts bytes.
func (p *proxy) passed(n int) {
	at := p.cutAt.Load()
	if sum := p.bytes.Add(int64(n)); at == 0 || sum < at || !p.cutAt.CompareAndSwap(at, 0) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
	p.open = nil
	time.AfterFunc(p.lasts, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.open = map[net.Conn]bool{}
	})
}

// admit reports whether a connection may be; it is closed if not.
func (p *proxy) admit(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		c.Close()
		return false
	}
	p.open[c] = true
	return true
}

// startProxy passes on what comes as it is, so nothing is compressed: khatru
// cannot. With compressing, it speaks for the relay and compresses with whoever
// offers that, as strfry does.
func startProxy(to string, compressing bool) (*proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{addr: ln.Addr().String(), open: map[net.Conn]bool{}}
	if compressing {
		rest := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: to})
		go func() { //nolint:gosec // a benchmark on loopback
			_ = http.Serve(counting{ln, p}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Upgrade") == "" {
					rest.ServeHTTP(w, r)
					return
				}
				_ = compress(w, r, "ws://"+to) // who is cut off says so
			}))
		}()
		return p, nil
	}
	go func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			if !p.admit(from) {
				continue
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				from.Close()
				continue
			}
			from = counted{from, p}
			go pass(out, from)
			go pass(from, out)
		}
	}()
	return p, nil
}

func pass(dst, src net.Conn) {
	defer dst.Close()
	_, _ = io.Copy(dst, src)
}

// compress passes messages on between a client that may compress and a relay that
// does not.
func compress(w http.ResponseWriter, r *http.Request, to string) error {
	client, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, CompressionMode: websocket.CompressionContextTakeover,
	})
	if err != nil {
		return err
	}
	defer client.CloseNow()
	relay, _, err := websocket.Dial(r.Context(), to, nil)
	if err != nil {
		return err
	}
	defer relay.CloseNow()
	ended := make(chan error, 2)
	for dst, src := range map[*websocket.Conn]*websocket.Conn{client: relay, relay: client} {
		src.SetReadLimit(-1)
		go func() {
			for {
				kind, message, err := src.Read(context.Background())
				if err == nil {
					err = dst.Write(context.Background(), kind, message)
				}
				if err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	return <-ended
}

// counting counts the bytes of the connections that a listener accepts.
type counting struct {
	net.Listener

	p *proxy
}

func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return counted{c, l.p}, err
}

type counted struct {
	net.Conn

	p *proxy
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.p.passed(n)
	return n, err
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.p.passed(n)
	return n, err
}
