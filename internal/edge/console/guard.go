package console

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// policy lets pages load nothing but our own files: no inline script or style,
// no other host, no frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

const (
	// maxBody bounds what a form may send, in bytes.
	maxBody = 16 << 10
	// writeTimeout bounds how long a browser may take to read a page, or a
	// message of the stream.
	writeTimeout = time.Minute
)

// guard stands before every page: it refuses hosts that are not ours and forms
// from elsewhere, and tells browsers what pages may do.
func (c *Console) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		why := fmt.Sprintf("this form was sent by another site: the browser is at %.100q (header Origin), and we are asked as %.100q "+
			"(header Host); a proxy before the console must pass the header Host on as it is", r.Header.Get("Origin"), r.Host)
		c.fail(w, r, &pageError{http.StatusForbidden, why})
	}))
	inner := origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin") // no-referrer would hide the origin of forms
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		if !c.ours(r.Host) {
			http.Error(w, "not known by this name; if it is right, add it to --console-hosts", http.StatusMisdirectedRequest)
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // a test's writer has none
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		inner.ServeHTTP(w, r)
	})
}

// ours reports whether a Host header is one of ours. Somebody else's name that
// is made to resolve to our address (DNS rebinding) would give their pages our
// origin; an address or localhost cannot be theirs.
func (c *Console) ours(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil || name == "localhost" {
		return true
	}
	return slices.ContainsFunc(c.hosts, func(known string) bool { return strings.EqualFold(known, name) })
}
