package p2p

import (
	"strings"
	"testing"
)

// FuzzAddress reads the multiaddrs that relays publish. One that is taken is
// spelled and read again alike, and leads to a host by TCP or QUIC and nowhere
// else.
func FuzzAddress(f *testing.F) {
	const id = "16Uiu2HAm6surUZvy46QEa7hqb7RVfPWQP6YsaqEDuwVQEkVNUxXd"
	for _, text := range []string{
		"/ip4/1.1.1.1/tcp/9001/p2p/" + id, "/ip6/2606:4700::1111/udp/9001/quic-v1/p2p/" + id, "/dns4/relay.example.com/tcp/443/p2p/" + id,
		"/dnsaddr/relay.example.com/p2p/" + id,
		"/ip4/1.1.1.1/tcp/9001/p2p/" + id + "/p2p-circuit/p2p/" + id, "/ip6zone/lo/ip6/::1/tcp/1/p2p/" + id, "/unix/x/p2p/" + id,
		"/ip4/1.1.1.1/tcp/99999/p2p/" + id, "/p2p/" + id, "/", "",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := ParseAddress(text)
		if err != nil {
			return
		}
		again, err := ParseAddress(at.String())
		if err != nil || again.String() != at.String() {
			t.Errorf("%q becomes %q, and that %v", text, at, err)
		}
		for _, addr := range at.info.Addrs {
			if usual := usable(at.info.Addrs); len(usual) == 0 || strings.Contains(addr.String(), "p2p-circuit") ||
				strings.Contains(addr.String(), "dnsaddr") {
				t.Errorf("%q leads to %s", text, addr)
			}
			if at, ok := addrPort(addr); ok && !strings.HasPrefix(addr.String(), "/ip4/"+at.Addr().String()) &&
				!strings.HasPrefix(addr.String(), "/ip6/"+at.Addr().String()) {
				t.Errorf("%s is checked as %s", addr, at)
			}
		}
	})
}
