package relay

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// dialInFakeTime connects to a relay within a testing/synctest bubble. The
// relay's end of the connection is its own.
func dialInFakeTime(t *testing.T, pinged func(), serve func(ctx context.Context, ws *websocket.Conn)) *Conn {
	t.Helper()
	client, server := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	listener := &pipeListener{conns: make(chan net.Conn, 1)}
	listener.conns <- server
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
			OnPingReceived: func(context.Context, []byte) bool { pinged(); return true },
		})
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.CloseNow()
		serve(ctx, ws)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(listener) })                                              // it always ends with an error
	ws, _, err := websocket.Dial(t.Context(), "ws://relay.example.com", &websocket.DialOptions{ //nolint:bodyclose // the library closes it
		HTTPClient: &http.Client{Transport: &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil },
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(ws, "ws://relay.example.com", Options{}.withDefaults())
	t.Cleanup(func() {
		c.Close()
		cancel()
		srv.Close()
		serving.Wait()
	})
	return c
}

// fakeInFakeTime connects to a scripted relay within a testing/synctest bubble.
func fakeInFakeTime(t *testing.T, script func(*peer)) *Conn {
	t.Helper()
	return dialInFakeTime(t, func() {}, func(ctx context.Context, ws *websocket.Conn) { script(&peer{t: t, ctx: ctx, ws: ws}) })
}

// pipeListener accepts the connections that are put into it.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.conns) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// Relays close what is idle: khatru pings every 30 s and wants the pong within
// 60 s, strfry goes by the pings that it gets. An hour without a request.
func TestAnIdleConnectionIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pings := make(chan struct{}, 1000)
		gone := make(chan error, 1)
		c := dialInFakeTime(t, func() { pings <- struct{}{} }, func(ctx context.Context, ws *websocket.Conn) {
			ctx = ws.CloseRead(ctx)
			// A pipe holds nothing back, so that two pongs at once would wait for
			// each other.
			time.Sleep(time.Second)
			for {
				select {
				case <-ctx.Done():
					gone <- nil
					return
				case <-time.After(30 * time.Second):
				}
				pong, cancel := context.WithTimeout(ctx, 30*time.Second)
				err := ws.Ping(pong)
				cancel()
				if err != nil {
					gone <- err
					return
				}
			}
		})
		for end := time.Now().Add(time.Hour); time.Now().Before(end); {
			select {
			case <-pings:
			case err := <-gone:
				t.Fatalf("the relay hung up: %v; %v", err, c.Err())
			case <-time.After(30 * time.Second):
				t.Fatal("no ping for 30 s")
			}
		}
		if err := c.Err(); err != nil {
			t.Error(err)
		}
	})
}

// A relay that takes its time is never owed more than 100 OKs, however many
// events are to be published.
func TestEventsInFlightAreBounded(t *testing.T) {
	all := notes(t, 250)
	synctest.Test(t, func(t *testing.T) {
		arrived := make(chan string, len(all))
		answer := make(chan string)
		c := dialInFakeTime(t, func() {}, func(ctx context.Context, ws *websocket.Conn) {
			var reading sync.WaitGroup
			defer reading.Wait()
			reading.Go(func() {
				for {
					_, data, err := ws.Read(ctx)
					if err != nil {
						return
					}
					var msg []json.RawMessage
					var e struct{ ID string }
					if json.Unmarshal(data, &msg) != nil || unquote(msg[0]) != "EVENT" || json.Unmarshal(msg[1], &e) != nil {
						t.Errorf("the client sent %q", data)
					}
					arrived <- e.ID
				}
			})
			for id := range answer {
				_ = ws.Write(ctx, websocket.MessageText, []byte(`["OK","`+id+`",true,""]`)) // the test ends otherwise
			}
			ws.CloseNow()
		})
		var publishing sync.WaitGroup
		for _, e := range all {
			publishing.Go(func() {
				if err := reconcile.Write(t.Context(), c, e); err != nil {
					t.Error(err)
				}
			})
		}
		most := 0
		for range all {
			synctest.Wait() // nothing more comes before an OK
			most = max(most, len(arrived))
			answer <- <-arrived
		}
		publishing.Wait()
		close(answer)
		if most != 100 {
			t.Errorf("%d events waited for their OK at a time", most)
		}
	})
}
