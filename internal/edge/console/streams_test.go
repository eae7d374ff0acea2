package console

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// watching opens a stream as a visitor from an address, and returns its answer
// once it is known: 200 as soon as it flows.
func (w *world) watching(from, passedOn string) (code int, ended <-chan struct{}) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 2*time.Minute)
	w.Cleanup(cancel)
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:9464/events", nil)
	r.RemoteAddr = from
	if passedOn != "" {
		r.Header.Set("X-Forwarded-For", passedOn)
	}
	answer, end := flowing{httptest.NewRecorder(), make(chan int, 1)}, make(chan struct{})
	go func() {
		defer close(end)
		w.console.ServeHTTP(answer, r)
		answer.tell(answer.Code)
	}()
	return <-answer.code, end
}

// flowing tells of the first message of a stream.
type flowing struct {
	*httptest.ResponseRecorder
	code chan int
}

func (f flowing) Flush() { f.tell(http.StatusOK) }

func (f flowing) tell(code int) {
	select {
	case f.code <- code:
	default:
	}
}

func (flowing) SetWriteDeadline(time.Time) error { return nil }

// One visitor gets some streams, ten take all, and another one gets one of theirs:
// by addresses of their own, of one IPv6 network, or by a proxy.
func TestAVisitorTakesNotAllStreams(t *testing.T) {
	for name, visitor := range map[string]func(who, n int) (from, passedOn string){
		"IPv4": func(who, n int) (string, string) { return fmt.Sprintf("192.0.2.%d:%d", who, 1000+n), "" },
		"IPv6": func(who, n int) (string, string) { return fmt.Sprintf("[2001:db8:0:%x:%x::]:1", who<<8+n%7, n), "" },
		"a proxy on the machine": func(who, n int) (string, string) {
			return fmt.Sprintf("127.0.0.1:%d", 1000+n), fmt.Sprintf("192.0.2.%d, 198.51.100.%d", n, who)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var ends []<-chan struct{}
			for who := range 10 {
				taken := 0
				for n := range maxStreamsVisitor + 2 {
					code, ended := w.watching(visitor(who, n))
					if code == http.StatusOK {
						taken++
						ends = append(ends, ended)
					}
				}
				if taken > maxStreamsVisitor || who < 8 && taken != maxStreamsVisitor {
					t.Fatalf("visitor %d has %d streams", who, taken)
				}
			}
			code, _ := w.watching(visitor(99, 0))
			if code != http.StatusOK {
				t.Errorf("another visitor: %d", code)
			}
			// As many have ended as are too many.
			gone := make(chan struct{}, len(ends))
			for _, ended := range ends {
				go func() {
					<-ended
					gone <- struct{}{}
				}()
			}
			for range len(ends) + 1 - maxStreams {
				select {
				case <-gone:
				case <-time.After(time.Minute):
					t.Fatalf("of %d streams too few have ended", len(ends))
				}
			}
			if name == "a proxy on the machine" {
				if code, _ := w.watching("127.0.0.1:5", ""); code != http.StatusOK {
					t.Errorf("a browser on the machine: %d", code)
				}
			}
		})
	}
}
