package mainline

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// compactPeers is the value of "values" that names these.
func compactPeers(peers ...string) []byte {
	b := []byte("l")
	for _, p := range peers {
		at := netip.MustParseAddrPort(p)
		b = append(b, bep44.EncodeString(append(at.Addr().AsSlice(), byte(at.Port()>>8), byte(at.Port())))...)
	}
	return append(b, 'e')
}

func addresses(list []Peer) (out []string) {
	for _, p := range list {
		out = append(out, fmt.Sprintf("%s x%d", p.Addr, p.Nodes))
	}
	return out
}

// Of an address the port counts that most nodes name, however many ports it announces; each node has one word for each peer.
func TestPeersAreCountedByAddress(t *testing.T) {
	t.Parallel()
	tally := newPeerTally(false)
	tally.count(compactPeers("8.8.8.8:4848", "8.8.8.8:4848", "8.8.8.8:4848", "9.9.9.9:1024"))
	tally.count(compactPeers("8.8.8.8:443", "9.9.9.9:1025", "9.9.9.9:1026"))
	tally.count(compactPeers("8.8.8.8:443", "[2606:4700::1111]:4848"))
	tally.count(compactPeers("8.8.8.8:443", "9.9.9.9:1025"))
	tally.count(nil)
	tally.count([]byte("le"))
	if got := addresses(tally.peers()); !slices.Equal(got, []string{"8.8.8.8:443 x3", "9.9.9.9:1025 x2"}) {
		t.Errorf("counted %q", got)
	}
}

func TestPeersThatMayNotBeDialledDoNotCount(t *testing.T) {
	t.Parallel()
	for _, peer := range []string{
		"127.0.0.1:4848", "10.1.2.3:4848", "192.168.1.1:443", "169.254.169.254:80", "0.0.0.0:4848", "224.0.0.1:4848", "8.8.8.8:0", "8.8.8.8:25",
	} {
		tally := newPeerTally(false)
		tally.count(compactPeers(peer))
		if got := tally.peers(); len(got) != 0 {
			t.Errorf("%s counts", peer)
		}
	}
	private := newPeerTally(true)
	private.count(compactPeers("127.0.0.1:4848", "127.0.0.1:4849", "0.0.0.0:4848", "224.0.0.1:4848", "8.8.8.8:0"))
	if got := private.peers(); len(got) != 2 {
		t.Errorf("in a test network count %v, want both ports", got)
	}
}

// A node that names thousands counts no more than an honest one, and does not hide what others name.
func TestOneAnswerCountsForHundredPeers(t *testing.T) {
	t.Parallel()
	var flood []string
	for i := range 3000 {
		flood = append(flood, fmt.Sprintf("8.%d.%d.8:4848", i/250, i%250))
	}
	tally := newPeerTally(false)
	tally.count(compactPeers(flood...))
	tally.count(compactPeers("9.9.9.9:4848"))
	got := tally.peers()
	if len(got) != maxPeersOfNode+1 || !slices.Contains(addresses(got), "9.9.9.9:4848 x1") {
		t.Errorf("counted %d", len(got))
	}
	again := newPeerTally(false)
	again.count(compactPeers(flood...))
	if slices.Equal(addresses(again.peers()), addresses(got[:maxPeersOfNode])) {
		t.Error("the same of the flood count each time, so whoever sends it chooses which")
	}
}

// Whatever stands in values, it is counted within bounds and nothing breaks.
func FuzzPeers(f *testing.F) {
	f.Add(compactPeers("8.8.8.8:4848", "9.9.9.9:1024"))
	f.Add([]byte("l1:xe"))
	f.Add([]byte("l6:123456i1e6:abcdefe"))
	f.Add([]byte("l"))
	f.Fuzz(func(t *testing.T, values []byte) {
		tally := newPeerTally(false)
		tally.count(values)
		got := tally.peers()
		for i, p := range got {
			if p.Nodes != 1 || !nostr.PublicAddr(p.Addr.Addr()) || i >= maxPeersOfNode {
				t.Errorf("%q: %v", values, p)
			}
		}
	})
}
