package console

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
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

// A browser logs in through a proxy that passes the name on, and keeps a cookie of its own scheme; a proxy that
// changes the name is told which header it is.
func TestBehindAProxy(t *testing.T) {
	t.Parallel()
	const named = "console.example.com:8080"
	console := httptest.NewServer(New(natstest.Start(t), Options{Hosts: []string{"console.example.com"}, Token: []byte("0123456789abcdef")}))
	t.Cleanup(console.Close)
	behind, err := url.Parse(console.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		scheme, host, proto string // of the browser; what the proxy passes on, "" for neither header
		refused, secure     bool
	}{
		"plain, as Caddy":               {scheme: "http", host: named, proto: "http"},
		"plain, without the scheme":     {scheme: "http", host: named},
		"plain, as nginx by itself":     {scheme: "http", host: behind.Host, refused: true},
		"plain, without the port":       {scheme: "http", host: "console.example.com", refused: true},
		"TLS":                           {scheme: "https", host: named, proto: "https", secure: true},
		"TLS, without the scheme":       {scheme: "https", host: named},
		"TLS, with a name of its own":   {scheme: "https", host: behind.Host, proto: "https", refused: true},
		"TLS, with the name of another": {scheme: "https", host: "localhost", refused: true},
	} {
		proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(behind)
			r.Out.Host = c.host
			if c.proto != "" {
				r.Out.Header.Set("X-Forwarded-Proto", c.proto)
			}
		}})
		t.Cleanup(proxy.Close)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, proxy.URL+"/login", strings.NewReader("token=0123456789abcdef"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", c.scheme+"://"+named)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		switch cookies := resp.Cookies(); {
		case c.refused:
			if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "header Host") || !strings.Contains(string(body), named) {
				t.Errorf("%s: %d, %s", name, resp.StatusCode, body)
			}
		case resp.StatusCode != http.StatusSeeOther || len(cookies) != 1 || cookies[0].Secure != c.secure:
			t.Errorf("%s: %d, %v, %s", name, resp.StatusCode, cookies, body)
		}
	}
}
