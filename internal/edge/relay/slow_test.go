package relay

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// A relay that sends a byte of a long message now and then never gets to the
// pong that it owes us: the connection ends, however long the relay goes on.
func TestAMessageThatDripsEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		ended := make(chan struct{})
		defer func() { server.Close(); <-ended }()
		go func() {
			defer close(ended)
			in := bufio.NewReader(server)
			req, err := http.ReadRequest(in)
			if err != nil {
				t.Error(err)
				return
			}
			sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
			fmt.Fprintf(server, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
				base64.StdEncoding.EncodeToString(sum[:]))
			go func() { _, _ = io.Copy(io.Discard, in) }()
			frame := binary.BigEndian.AppendUint64([]byte{0x81, 127}, 1<<20) // text, of a MiB
			for err = error(nil); err == nil; time.Sleep(5 * time.Second) {
				_, err = server.Write(frame)
				frame = []byte("x")
			}
		}()
		ws, _, err := websocket.Dial(t.Context(), "ws://relay.example.com", &websocket.DialOptions{ //nolint:bodyclose // the library closes it
			HTTPClient: &http.Client{Transport: &http.Transport{
				DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil },
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ws.SetReadLimit(maxMessage)
		began, o := time.Now(), Options{}.withDefaults()
		c := newConn(ws, "ws://relay.example.com", o)
		defer c.Close()
		<-c.Done()
		if took := time.Since(began); took > o.timing.ping+o.timing.stall+pongTimeout {
			t.Errorf("it ended after %s", took)
		}
	})
}
