package peers

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// victim listens at an address by TCP and UDP, and counts who comes.
func victim(t *testing.T, ip string) (port int, reached *atomic.Int64) {
	t.Helper()
	reached = &atomic.Int64{}
	tcp, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Skipf("this machine has no %s: %v", ip, err)
	}
	t.Cleanup(func() { tcp.Close() })
	port = tcp.Addr().(*net.TCPAddr).Port
	udp, err := net.ListenPacket("udp", fmt.Sprintf("%s:%d", ip, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	go func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			conn.Close()
		}
	}()
	go func() {
		for buf := make([]byte, 2048); ; {
			if _, _, err := udp.ReadFrom(buf); err != nil {
				return
			}
			reached.Add(1)
		}
	}()
	return port, reached
}

// A NIP-11 document may name anybody's addresses, by number or name. Only those of
// the relay's own host are dialled: here none of them, and the peer that stands
// among them is reached.
func TestAddressesOfOthersAreNotDialled(t *testing.T) {
	for name, form := range map[string]string{
		"TCP":              "/ip4/127.0.0.2/tcp/%d",
		"QUIC":             "/ip4/127.0.0.2/udp/%d/quic-v1",
		"IPv4 in IPv6":     "/ip6/::ffff:127.0.0.2/tcp/%d",
		"a name of others": "/dns4/localhost/tcp/%d",
	} {
		for _, alone := range []bool{false, true} {
			if alone {
				name += ", nobody else"
			}
			t.Run(name, func(t *testing.T) { notDialled(t, form, alone) })
		}
	}
}

func notDialled(t *testing.T, form string, alone bool) {
	t.Helper()
	ip, all := "127.0.0.2", signed()
	if strings.Contains(form, "localhost") {
		ip = "127.0.0.1"
	}
	port, reached := victim(t, ip)
	hornets := startHornets(t, all[50:150])
	url := startPlain(t, all[50:150], false)
	doc := contract.Relay{URL: url, Hornets: extension(t, hornets)}
	if alone {
		doc.Hornets.Addrs = nil
	}
	for range 20 { // more than are tried
		doc.Hornets.Addrs = append([]string{fmt.Sprintf(form, port)}, doc.Hornets.Addrs...)
	}
	home := hometest.Start(t, all[:100]...)
	syncBy(t, attach(t, home, store{nostr.RelayKey(url): doc}), url)
	if n := reached.Load(); n > 0 {
		t.Errorf("the victim was reached %d times", n)
	}
	if want := map[bool]int{false: 50}[alone]; hornets.Stored() != want {
		t.Errorf("the peer was sent %d events, want %d", hornets.Stored(), want)
	}
}
