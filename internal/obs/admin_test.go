package obs

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	free "github.com/relaymesh/relaymesh/internal/testkit/loopback"
)

func TestProfilesAreForTheMachineItself(t *testing.T) {
	reached := 0
	h := loopback(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	for from, want := range map[string]int{
		"127.0.0.1:5": http.StatusOK, "[::1]:5": http.StatusOK, "[::ffff:127.0.0.1]:5": http.StatusOK,
		"10.0.0.1:5": http.StatusForbidden, "[2001:db8::1]:5": http.StatusForbidden, "": http.StatusForbidden,
	} {
		r := httptest.NewRequest(http.MethodGet, "/debug/pprof/heap", nil)
		r.RemoteAddr, r.Host = from, "127.0.0.1:9464"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("from %q: %d, want %d", from, w.Code, want)
		}
	}
	if reached != 3 {
		t.Errorf("reached %d times, want 3", reached)
	}
}

// Neither by a proxy on the machine, nor by a name that was made to lead here.
func TestProfilesAreNotPassedOn(t *testing.T) {
	h := loopback(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for host, want := range map[string]int{
		"localhost:9464": http.StatusOK, "[::1]:9464": http.StatusOK, "127.0.0.1": http.StatusOK,
		"evil.example.com": http.StatusForbidden, "localhost.evil.example.com:9464": http.StatusForbidden, "": http.StatusForbidden,
	} {
		for _, header := range []string{"", "X-Forwarded-For", "Forwarded", "Via"} {
			r := httptest.NewRequest(http.MethodGet, "/debug/pprof/cmdline", nil)
			r.RemoteAddr, r.Host = "127.0.0.1:5", host
			code := want
			if header != "" {
				r.Header.Set(header, "192.0.2.1")
				code = http.StatusForbidden
			}
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != code {
				t.Errorf("host %q, %s: %d, want %d", host, header, w.Code, code)
			}
		}
	}
}

func TestReadyzSaysWhatIsMissing(t *testing.T) {
	get := func(query string, checks ...Check) (int, string) {
		w := httptest.NewRecorder()
		readyz(w, httptest.NewRequest(http.MethodGet, "/readyz"+query, nil), checks)
		return w.Code, w.Body.String()
	}
	if code, body := get("", Check{Name: "NATS"}); code != http.StatusOK || body != "ok\n" {
		t.Errorf("%d %q", code, body)
	}
	if code, body := get("?verbose", Check{Name: "NATS"}, Check{Name: "DHT"}); code != http.StatusOK || body != "[+] NATS\n[+] DHT\nok\n" {
		t.Errorf("verbose: %d %q", code, body)
	}
	alone := Check{Name: "DHT", Err: errors.New("no node answers")}
	if code, body := get("", Check{Name: "NATS"}, alone); code != http.StatusServiceUnavailable || body != "[-] DHT: no node answers\n" {
		t.Errorf("not ready: %d %q", code, body)
	}
	if code, body := get("?verbose", Check{Name: "NATS"}, alone); code != http.StatusServiceUnavailable ||
		body != "[+] NATS\n[-] DHT: no node answers\n" {
		t.Errorf("not ready, verbose: %d %q", code, body)
	}
}

// Nothing is answered by a name that somebody made lead here (DNS rebinding),
// whatever the path.
func TestNothingIsAnsweredByANameOfOthers(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	addr := free.Addr()
	ended := make(chan error, 1)
	go func() {
		ended <- ServeAdmin(ctx, addr, []string{"Relay.Example.com"}, prometheus.NewRegistry(), func() []Check { return nil },
			http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}()
	get := func(path, host string) int {
		for {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			resp, err := http.DefaultClient.Do(r)
			if err == nil {
				resp.Body.Close()
				return resp.StatusCode
			}
			select { // it does not listen yet
			case err := <-ended:
				t.Fatal(err)
			case <-time.After(time.Millisecond):
			}
		}
	}
	for host, want := range map[string]int{
		addr: 200, "localhost:9464": 200, "LOCALHOST": 200, "localhost.": 200, "[::1]:9464": 200, "192.0.2.1": 200,
		"relay.example.com": 200, "relay.example.com.:443": 200,
		"evil.example.com": 421, "127.0.0.1.evil.example.com": 421, "localhost.evil.example.com:9464": 421, "relay.example.com.evil.com": 421,
		"xrelay.example.com": 421,
	} {
		for _, path := range []string{"/metrics", "/livez", "/readyz?verbose", "/", "/dlq"} {
			if code := get(path, host); code != want {
				t.Errorf("%s of %q: %d, want %d", path, host, code, want)
			}
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
