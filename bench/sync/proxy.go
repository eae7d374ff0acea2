package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"

	"github.com/coder/websocket"
)

// proxy passes connections on to a relay and counts the bytes, both ways.
type proxy struct {
	addr  string
	bytes atomic.Int64
}

// startProxy passes on what comes as it is, so nothing is compressed: khatru
// cannot. With compressing, it speaks for the relay and compresses with whoever
// offers that, as strfry does.
func startProxy(to string, compressing bool) (*proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{addr: ln.Addr().String()}
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
	c.p.bytes.Add(int64(n))
	return n, err
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.p.bytes.Add(int64(n))
	return n, err
}
