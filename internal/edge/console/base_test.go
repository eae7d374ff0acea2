package console

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
)

var links = regexp.MustCompile(`(?:href|src|action|connect|data-hx-get)="([^"#]*)"`)

// Below a path all links, redirects and the cookie lead there, whether the proxy passes
// the path on or takes it away.
func TestBelowAPath(t *testing.T) {
	js := natstest.Start(t)
	for _, base := range []string{"", "/relaymesh", "/a/b"} {
		c := New(js, Options{Base: base, Token: []byte("0123456789abcdef")})
		ask := func(method, path, form string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			c.ServeHTTP(w, r)
			return w
		}
		for _, prefix := range []string{"", base} {
			for _, page := range []string{
				"/", "/mesh", "/history", "/users", "/notes", "/surveys", "/relays", "/records", "/dlq", "/search?q=x", "/login", "/nonsense",
				"/processes", "/indexes", "/outcomes",
			} {
				body := ask(http.MethodGet, prefix+page, "").Body.String()
				found := links.FindAllStringSubmatch(body, -1)
				if len(found) < 5 {
					t.Errorf("%s%s: %d links", prefix, page, len(found))
				}
				for _, l := range found {
					if strings.HasPrefix(l[1], "/") && !strings.HasPrefix(l[1], base+"/") {
						t.Errorf("%s%s leads to %s", prefix, page, l[1])
					}
				}
			}
			if w := ask(http.MethodGet, prefix+"/assets/console.css", ""); w.Code != http.StatusOK {
				t.Errorf("%s/assets: %d", prefix, w.Code)
			}
			w := ask(http.MethodPost, prefix+"/login", "token=0123456789abcdef")
			if to := w.Header().Get("Location"); to != base+"/dlq" || !strings.Contains(w.Header().Get("Set-Cookie"), "Path="+base+"/;") {
				t.Errorf("%s/login leads to %q with %q", prefix, to, w.Header().Get("Set-Cookie"))
			}
		}
		if base != "" {
			if w := ask(http.MethodGet, base, ""); w.Header().Get("Location") != base+"/" {
				t.Errorf("%s leads to %q", base, w.Header().Get("Location"))
			}
		}
	}
}

// A form that is refused because a proxy has changed the name says which header it is.
func TestARefusedFormNamesTheHeader(t *testing.T) {
	t.Parallel()
	c := New(nil, Options{Hosts: []string{"inside"}, Token: []byte("0123456789abcdef")})
	r := httptest.NewRequest(http.MethodPost, "http://inside/login", strings.NewReader("token=0123456789abcdef"))
	r.Header.Set("Origin", "http://console.example.com")
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	if body := w.Body.String(); w.Code != http.StatusForbidden || !strings.Contains(body, "header Host") ||
		!strings.Contains(body, "console.example.com") {
		t.Errorf("%d, %s", w.Code, body)
	}
}
