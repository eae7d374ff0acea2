package dialguard_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/dialguard"
	"github.com/relaymesh/relaymesh/internal/testkit/dnstest"
)

var proxied atomic.Int64

// The environment names a proxy before anything looks at it.
func TestMain(m *testing.M) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proxied.Add(1) }))
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		os.Setenv(name, proxy.URL)
	}
	code := m.Run()
	proxy.Close()
	os.Exit(code)
}

func TestForbiddenAddresses(t *testing.T) {
	var strict dialguard.Guard
	for addr, what := range dnstest.Forbidden {
		at := netip.AddrPortFrom(netip.MustParseAddr(addr), 443)
		if strict.Allows(at) || !errors.Is(strict.Control("tcp", at.String(), nil), dialguard.ErrForbidden) {
			t.Errorf("%s (%s) may be dialled", addr, what)
		}
		_, err := strict.HTTPClient().Get("http://" + at.String()) //nolint:bodyclose // there is none
		if !errors.Is(err, dialguard.ErrForbidden) {
			t.Errorf("%s (%s) was dialled: %v", addr, what, err)
		}
	}
	for _, address := range []string{"", "nonsense", "127.0.0.1", "[" + dnstest.Zoned + "]:443", "localhost:443", "/run/docker.sock"} {
		if err := strict.Control("tcp", address, nil); !errors.Is(err, dialguard.ErrForbidden) {
			t.Errorf("%q may be dialled: %v", address, err)
		}
		if err := (dialguard.Guard{AllowPrivate: true}).Control("tcp", address, nil); err != nil {
			t.Errorf("%q, private allowed: %v", address, err)
		}
	}
	for _, address := range []string{"1.1.1.1:443", "[2606:4700::1111]:8080", "[::ffff:1.1.1.1]:443", "[64:ff9b::101:101]:443"} {
		if err := strict.Control("tcp", address, nil); err != nil {
			t.Errorf("%s may not be dialled: %v", address, err)
		}
	}
	for _, port := range dnstest.BadPorts {
		if strict.Allows(netip.AddrPortFrom(netip.MustParseAddr("1.1.1.1"), port)) {
			t.Errorf("port %d may be dialled", port)
		}
	}
}

// The name leads to the public internet when somebody looks at it first, and to
// loopback when it is dialled.
func TestRebinding(t *testing.T) {
	var reached atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer server.Close()
	dns, before := dnstest.StartDNS(t), proxied.Load()
	url := strings.Replace(server.URL, "127.0.0.1", "relay.example.com", 1)
	public, loopback := []netip.Addr{netip.MustParseAddr("1.1.1.1")}, []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
	dns.Set("relay.example.com", public, loopback)
	if looked, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip", "relay.example.com"); err != nil || len(looked) != 1 ||
		looked[0] != public[0] {
		t.Fatalf("looked at first: %v, %v", looked, err)
	}
	if _, err := (dialguard.Guard{}).HTTPClient().Get(url); !errors.Is(err, dialguard.ErrForbidden) { //nolint:bodyclose // there is none
		t.Errorf("rebound to loopback: %v", err)
	}
	if dns.Asked("relay.example.com") != 4 || reached.Load() != 0 {
		t.Errorf("asked %d times, reached %d times", dns.Asked("relay.example.com"), reached.Load())
	}
	resp, err := dialguard.Guard{AllowPrivate: true}.HTTPClient().Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if reached.Load() != 1 || proxied.Load() != before {
		t.Errorf("reached %d times, %d times by proxy", reached.Load(), proxied.Load()-before)
	}
}

// Without the guard's transport the proxy would have been asked, so that the
// test above can fail.
func TestTheEnvironmentNamesAProxy(t *testing.T) {
	before := proxied.Load()
	resp, err := http.Get("http://relay.example.com")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if proxied.Load() != before+1 {
		t.Error("the proxy was not asked")
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var reached atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer target.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(target.URL, status))
		resp, err := dialguard.Guard{AllowPrivate: true}.HTTPClient().Get(server.URL)
		server.Close()
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status || reached.Load() != 0 {
			t.Errorf("%d: status %d, followed %d times", status, resp.StatusCode, reached.Load())
		}
	}
}

func TestTheHeaderOfAnAnswerIsBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := range 100 {
			w.Header().Set("X-"+strconv.Itoa(i), strings.Repeat("x", 1<<10))
		}
	}))
	defer server.Close()
	_, err := (dialguard.Guard{AllowPrivate: true}).HTTPClient().Get(server.URL) //nolint:bodyclose // there is none
	if err == nil || !strings.Contains(err.Error(), "exceeded") {
		t.Errorf("a header of 100 KiB: %v", err)
	}
}
