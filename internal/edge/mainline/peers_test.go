package mainline_test

import (
	"crypto/sha1"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
)

// Who announces is found by others under the port that was named, not the one that packets leave from.
func TestAnAnnouncementIsFoundByOthers(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 24)
	index, reader := startClient(t, network), startClient(t, network)
	infohash := sha1.Sum([]byte("an infohash of the test"))
	before, err := reader.Peers(t.Context(), infohash, 0, nil)
	if err != nil || len(before.Peers) != 0 || before.Answered == 0 {
		t.Fatalf("before: %+v, %v", before, err)
	}
	announced, err := index.Announce(t.Context(), infohash, 4848, 20, nil)
	if err != nil || announced.Took < 8 {
		t.Fatalf("announced: %+v, %v", announced, err)
	}
	want := netip.MustParseAddrPort("127.0.0.1:4848")
	for deadline := time.Now().Add(time.Minute); ; { // the library stores behind its acknowledgement
		got, err := reader.Peers(t.Context(), infohash, 0, announced.Closest)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Peers) == 1 && got.Peers[0].Addr == want && got.Peers[0].Nodes >= 6 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("found %+v", got)
		}
	}
	if other, err := reader.Peers(t.Context(), sha1.Sum([]byte("another")), 0, nil); err != nil || len(other.Peers) != 0 {
		t.Errorf("another infohash has %+v, %v", other.Peers, err)
	}
	if _, err := index.Announce(t.Context(), infohash, 0, 0, nil); err == nil {
		t.Error("port 0 was announced")
	}
}

// Nobody who answers is not the same as nobody who announced.
func TestPeersWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	nobody, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}) // hears, and is silent
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nobody.Close() })
	node, err := mainline.Start(t.Context(), mainline.Config{
		Addr: "127.0.0.1:0", AllowPrivate: true, ReadOnly: true, Bootstrap: []string{nobody.LocalAddr().String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	if got, err := node.Peers(t.Context(), [20]byte{1}, 0, nil); !errors.Is(err, mainline.ErrNoAnswer) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := node.Announce(t.Context(), [20]byte{1}, 80, 0, nil); !errors.Is(err, mainline.ErrNoAnswer) {
		t.Errorf("announced %+v, %v", got, err)
	}
}

// Several of one address are several in a network on loopback only.
func TestSeveralPortsOfOneAddressInATestNetwork(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 12)
	infohash := sha1.Sum([]byte("two of one address"))
	ports := []uint16{4848, 4849}
	for _, port := range ports {
		host := startClient(t, network)
		if _, err := host.Announce(t.Context(), infohash, port, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	reader := startClient(t, network)
	for deadline := time.Now().Add(time.Minute); ; {
		got, err := reader.Peers(t.Context(), infohash, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Peers) > 0 && slices.Contains(ports, got.Peers[0].Addr.Port()) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("found %+v", got)
		}
	}
}
