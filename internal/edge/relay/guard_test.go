package relay

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/dialguard"
	"github.com/relaymesh/relaymesh/internal/testkit/dnstest"
)

// dials are the ways in which this package reaches a relay.
var dials = map[string]func(ctx context.Context, url string, o Options) error{
	"websocket": func(ctx context.Context, url string, o Options) error {
		c, err := Dial(ctx, url, o)
		if err == nil {
			c.Close()
		}
		return err
	},
	"NIP-11": func(ctx context.Context, url string, o Options) error {
		_, err := FetchInfo(ctx, url, o)
		return err
	},
}

// No spelling of an address leads where strangers must not lead us. Nothing is
// resolved for it, and what is resolved all the same is looked at again.
func TestForbiddenAddressesAreNotDialled(t *testing.T) {
	dns := dnstest.StartDNS(t)
	for name, dial := range dials {
		refused := func(url string) {
			t.Helper()
			if err := dial(testContext(t), url, Options{}); err == nil || !strings.HasPrefix(err.Error(), "relay url") {
				t.Errorf("%s %s: %v", name, url, err)
			}
		}
		for _, addr := range dnstest.Addrs() {
			host := addr.String()
			if addr.Is6() {
				host = "[" + host + "]"
			}
			refused("ws://" + host)
			refused("wss://" + host + ":8443/path")
			dns.Set("relay.example.com", []netip.Addr{addr})
			for _, url := range []string{"ws://relay.example.com", "wss://relay.example.com:8443/"} {
				err := dial(testContext(t), url, Options{})
				// A resolver gives an IPv4 address in place of one mapped to IPv6.
				if !errors.Is(err, dialguard.ErrForbidden) {
					t.Errorf("%s %s at %s: %v", name, url, addr, err)
				}
			}
		}
		for _, host := range dnstest.OddHosts {
			refused("ws://" + host)
		}
		refused("ws://[" + strings.Replace(dnstest.Zoned, "%", "%25", 1) + "]")
		refused("ws://[" + dnstest.Zoned + "]")
		refused("ws://relay.example.com:25")
	}
}

// A name that was public when it was looked at leads to loopback when it is
// dialled: the server there is not reached, and would have been.
func TestRebindingIsNoticed(t *testing.T) {
	reached := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
	defer server.Close()
	dns := dnstest.StartDNS(t)
	dns.Set("relay.example.com", []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()})
	url := "ws" + strings.TrimPrefix(strings.Replace(server.URL, "127.0.0.1", "relay.example.com", 1), "http")
	for name, dial := range dials {
		before := dns.Asked("relay.example.com")
		if err := dial(testContext(t), url, Options{}); !errors.Is(err, dialguard.ErrForbidden) {
			t.Errorf("%s: %v", name, err)
		}
		if len(reached) != 0 || dns.Asked("relay.example.com") == before {
			t.Errorf("%s: reached %d times, resolved %d times", name, len(reached), dns.Asked("relay.example.com")-before)
		}
		_ = dial(testContext(t), url, testOptions()) // the server is no relay
		if len(reached) != 1 {
			t.Errorf("%s: private allowed, and reached %d times", name, len(reached))
		}
		receive(t, reached)
	}
}
