package console

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// However many watch, one reads; and nobody does when nobody watches.
func TestOneReadsForAllWhoWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		f := newFeed(func(context.Context, *Pipeline) (*Pipeline, error) {
			reads.Add(1)
			return &Pipeline{At: time.Now()}, nil
		})
		var leaves []func()
		for range maxWatchers {
			_, leave, err := f.watch()
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		if _, _, err := f.watch(); err == nil {
			t.Error("one too many may watch")
		}
		time.Sleep(20*every + every/2)
		if n := reads.Load(); n != 21 {
			t.Errorf("%d readings in 20 intervals, want 21", n)
		}
		for _, leave := range leaves {
			leave()
		}
		time.Sleep(10 * every)
		if n := reads.Load(); n != 21 {
			t.Errorf("%d readings, although nobody watches", n)
		}
	})
}

// events reads the stream of a server until it ends.
func stream(t *testing.T, ctx context.Context, url string) <-chan string {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("the stream is %d, %v", resp.StatusCode, resp.Header)
	}
	messages := make(chan string, 100)
	go func() {
		defer close(messages)
		var message strings.Builder
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if lines.Text() == "" {
				messages <- message.String()
				message.Reset()
			}
			message.WriteString(strings.TrimPrefix(lines.Text(), "data: "))
		}
	}()
	return messages
}

func TestTheStreamBringsTheFiguresAndEndsWithTheServer(t *testing.T) {
	w := newWorld(t)
	w.console.feed.every = 20 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	server := httptest.NewUnstartedServer(w.console)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	t.Cleanup(server.Close)
	messages := stream(t, t.Context(), server.URL)
	first := <-messages
	if !strings.Contains(first, `id="ingest"`) || !strings.Contains(first, `data-lag="0"`) || strings.Contains(first, "<html") {
		t.Errorf("the first message is %.300s", first)
	}
	w.send("event.received", "{}")
	for m := range messages {
		if strings.Contains(m, `data-lag="1"`) {
			break
		}
	}
	stop()
	for range messages { //nolint:revive // it must end
	}
}

// deadlined is a browser that may stop reading.
type deadlined struct {
	*httptest.ResponseRecorder

	set chan time.Time
}

func (d deadlined) SetWriteDeadline(t time.Time) error {
	d.set <- t
	return nil
}

// Who does not read what is sent is not waited for, page or stream.
func TestWhoDoesNotReadIsGivenUp(t *testing.T) {
	w := newWorld(t)
	w.console.feed.every = 20 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	d := deadlined{httptest.NewRecorder(), make(chan time.Time, 100)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.console.ServeHTTP(d, httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/events", nil))
	}()
	first := <-d.set
	for next := range d.set { // later, message by message
		if next.After(first) {
			break
		}
	}
	stop()
	<-ended
	if first.Before(time.Now()) {
		t.Errorf("the deadline was %s", first)
	}
}
