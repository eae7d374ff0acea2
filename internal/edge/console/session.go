package console

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	cookieName = "relaymesh-console"
	// lasting is how long a browser may act before it is asked again.
	lasting = 12 * time.Hour
	// leastToken keeps a token from being guessed, in bytes.
	leastToken = 16
)

// ReadToken reads the operator's token from a file: one line of at least 16
// characters.
func ReadToken(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	token := bytes.TrimSpace(text)
	if len(token) < leastToken || bytes.ContainsAny(token, " \r\n\t") {
		return nil, fmt.Errorf("token: %s must hold one word of at least %d characters: make one with head -c 24 /dev/urandom | base64", path,
			leastToken)
	}
	return token, nil
}

// sessions knows who has given the token. It remembers nobody: a browser that
// gave it gets a cookie with an end and its HMAC under the token, which every
// console with that token accepts.
type sessions struct {
	token []byte
	path  string // of the cookie
}

func (s sessions) possible() bool { return len(s.token) > 0 }

// may reports whether a request carries the token itself (Authorization:
// Bearer) or the cookie of a browser that has given it.
func (s sessions) may(r *http.Request) bool {
	if !s.possible() {
		return false
	}
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return s.is(given)
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	ends, mac, _ := strings.Cut(cookie.Value, ".")
	unix, err := strconv.ParseInt(ends, 10, 64)
	return subtle.ConstantTimeCompare([]byte(mac), []byte(s.mac(ends))) == 1 && err == nil && time.Now().Unix() < unix
}

// is compares with the token; neither it nor its length shows in the time.
func (s sessions) is(given string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256(s.token)
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func (s sessions) mac(ends string) string {
	h := hmac.New(sha256.New, s.token)
	h.Write([]byte("relaymesh console until " + ends))
	return hex.EncodeToString(h.Sum(nil))
}

// begin gives the browser its cookie and reports true, if it has given the
// token.
func (s sessions) begin(w http.ResponseWriter, r *http.Request) bool {
	if !s.possible() || !s.is(r.PostFormValue("token")) {
		return false
	}
	ends := strconv.FormatInt(time.Now().Add(lasting).Unix(), 10)
	http.SetCookie(w, s.cookie(r, ends+"."+s.mac(ends), int(lasting/time.Second)))
	return true
}

// end takes the cookie back.
func (s sessions) end(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, s.cookie(r, "", -1))
}

func (s sessions) cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: value, Path: s.path, MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
}
