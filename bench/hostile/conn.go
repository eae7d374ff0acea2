//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// conn is a client's connection.
type conn struct{ ws *websocket.Conn }

// dial connects from an address of loopback.
func dial(ctx context.Context, url, from string) (*conn, error) {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			c, err := d.DialContext(ctx, network, addr)
			if tcp, ok := c.(*net.TCPConn); ok {
				err = tcp.SetLinger(0) // leaves no port in TIME_WAIT
			}
			return c, err
		},
	}}
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client}) //nolint:bodyclose // Dial has read it
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(4 << 20)
	return &conn{ws}, nil
}

func (c *conn) close() { _ = c.ws.CloseNow() }

func (c *conn) send(ctx context.Context, text string) error {
	return c.ws.Write(ctx, websocket.MessageText, []byte(text))
}

func (c *conn) next(ctx context.Context) ([]byte, error) {
	_, data, err := c.ws.Read(ctx)
	return data, err
}

// publish sends an event and returns how long its OK, of true, took.
func (c *conn) publish(ctx context.Context, e *nostr.Event) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	started := time.Now()
	if err := c.ws.Write(ctx, websocket.MessageText, nostr.Message("EVENT", e)); err != nil {
		return 0, err
	}
	for {
		data, err := c.next(ctx)
		if err != nil {
			return 0, err
		}
		if bytes.HasPrefix(data, []byte(`["OK","`+e.ID)) {
			if !bytes.Contains(data, []byte(`,true,`)) {
				return 0, fmt.Errorf("%s", data)
			}
			return time.Since(started), nil
		}
	}
}
