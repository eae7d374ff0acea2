package homerelay

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// rawClient sends texts as they are.
type rawClient struct {
	t   testing.TB
	ctx context.Context
	ws  *websocket.Conn
}

func dialRaw(t testing.TB, url string) *rawClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: hasty}) //nolint:bodyclose // Dial has read it
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(4 << 20)
	t.Cleanup(func() { ws.CloseNow() })
	return &rawClient{t, ctx, ws}
}

// hasty leaves no port in TIME_WAIT, of which fuzzing would use up all.
var hasty = &http.Client{Transport: &http.Transport{
	DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, addr)
		if tcp, ok := c.(*net.TCPConn); ok {
			err = tcp.SetLinger(0)
		}
		return c, err
	},
}}

func (c *rawClient) send(text string) {
	c.t.Helper()
	if err := c.ws.Write(c.ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *rawClient) sendf(format string, args ...any) {
	c.t.Helper()
	c.send(fmt.Sprintf(format, args...))
}

// text returns the relay's next message as it is.
func (c *rawClient) text() string {
	c.t.Helper()
	_, data, err := c.ws.Read(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// next returns the relay's next message.
func (c *rawClient) next() []any {
	c.t.Helper()
	data := c.text()
	var m []any
	if err := json.Unmarshal([]byte(data), &m); err != nil {
		c.t.Fatalf("the relay sent %q: %v", data, err)
	}
	return m
}

// expect fails unless the next message begins with these elements; a string
// that ends in "…" stands for any string that begins so.
func (c *rawClient) expect(want ...any) []any {
	c.t.Helper()
	got := c.next()
	for i, w := range want {
		if i >= len(got) || !agrees(got[i], w) {
			c.t.Fatalf("got %v, want %v", got, want)
		}
	}
	return got
}

func agrees(got, want any) bool {
	text, ok := want.(string)
	if n := len(text) - len("…"); ok && n >= 0 && text[n:] == "…" {
		s, isText := got.(string)
		return isText && len(s) >= n && s[:n] == text[:n]
	}
	return got == want
}

// alive proves that the connection still answers.
func (c *rawClient) alive() {
	c.t.Helper()
	c.send(`["REQ","alive",{"ids":[]}]`)
	for {
		if m := c.next(); m[0] == "EOSE" && m[1] == "alive" {
			return
		}
	}
}
