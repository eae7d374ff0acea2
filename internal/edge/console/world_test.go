package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// world is a NATS server with a console that has its own permissions only.
type world struct {
	*natstest.World

	console *Console

	mu     sync.Mutex
	denied []string
}

const testToken = "a token that nobody has guessed"

func newWorld(t *testing.T) *world {
	w := &world{World: natstest.NewWorld(t)}
	js := natstest.ConnectAs(t, w.Server, contract.RoleConsole, contract.RoleConsole,
		nats.CustomInboxPrefix(contract.InboxPrefix(contract.RoleConsole)), nats.ErrorHandler(w.deny))
	w.console = New(js, Options{Token: []byte(testToken), Hosts: []string{"console.example.com"}})
	w.console.within = time.Minute // on a machine however busy
	t.Cleanup(func() {
		if len(w.denied) > 0 {
			t.Errorf("the console lacks permissions: %q", w.denied)
		}
	})
	return w
}

func (w *world) deny(_ *nats.Conn, _ *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.denied = append(w.denied, err.Error())
	}
}

// send publishes as somebody with all permissions.
func (w *world) send(subject string, payload any) {
	w.Helper()
	w.Publish(subject, nostr.Encode(payload))
}

// do asks the console as a browser on the same machine does, unless the
// options say otherwise.
func (w *world) do(method, target string, body string, options ...func(*http.Request)) *httptest.ResponseRecorder {
	w.Helper()
	r := httptest.NewRequestWithContext(w.Context(), method, "http://localhost:9464"+target, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, o := range options {
		o(r)
	}
	rec := httptest.NewRecorder()
	w.console.ServeHTTP(rec, r)
	return rec
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// page returns the HTML of a page.
func (w *world) page(target string) string {
	w.Helper()
	rec := w.do(http.MethodGet, target, "")
	if rec.Code != http.StatusOK || !strings.Contains(rec.Header().Get("Content-Type"), "text/html") {
		w.Fatalf("%s: %d, %s", target, rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// ask returns the JSON of a page.
func ask[T any](w *world, target string) T {
	w.Helper()
	rec := w.do(http.MethodGet, target, "", header("Accept", "application/json"))
	var v T
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil || rec.Code != http.StatusOK {
		w.Fatalf("%s: %d, %v: %s", target, rec.Code, err, rec.Body)
	}
	return v
}
