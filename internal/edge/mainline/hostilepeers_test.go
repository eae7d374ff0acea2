package mainline

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
	peer_store "github.com/anacrolix/dht/v2/peer-store"
)

// Whatever some node answers to a question for peers, the peers that another node names are found, and nothing else is.
func TestHostileAnswersHideNoPeers(t *testing.T) {
	t.Parallel()
	honestValues := "5:token1:t6:values" + string(compactPeers("127.0.0.9:4848"))
	for what, entries := range map[string]string{
		"values of one byte":        "5:token1:t6:valuesl1:xe",
		"values of no length":       "5:token1:t6:valuesl0:e",
		"values that are no list":   "5:token1:t6:values6:123456",
		"values that are numbers":   "5:token1:t6:valuesli1ei2ee",
		"thousands of peers":        "5:token1:t6:values" + "l" + strings.Repeat("6:\x00\x00\x00\x00\x00\x00", 400) + "e",
		"one address many times":    "5:token1:t6:values" + "l" + strings.Repeat("6:\x7f\x00\x00\x09\x12\xf0", 400) + "e",
		"an item":                   itemEntries(signed(t, 1, 5, "x")),
		"no token":                  "",
		"a long token":              "5:token300:" + strings.Repeat("x", 300),
		"an error in place of them": "6:valueslee",
	} {
		node := startNode(t, true)
		liar := startPeer(t, 1, func(p *peer, q heard) { p.reply(q, entries) })
		honest := startPeer(t, 2, func(p *peer, q heard) { p.reply(q, honestValues) })
		got, err := node.Peers(t.Context(), [20]byte{7}, 0, []Contact{liar.contact, honest.contact})
		if err != nil || len(got.Peers) != 1 || got.Peers[0].Addr.String() != "127.0.0.9:4848" || node.Stats().Forged != 0 {
			t.Errorf("%s: got %+v, %v", what, got.Peers, err)
		}
	}
}

// An announcement goes, with the port and each node's own token, to those that gave one.
func TestAnnouncementsCarryTheTokenOfTheirNode(t *testing.T) {
	t.Parallel()
	node := startNode(t, true)
	got := make(chan string, 4)
	answer := func(token string) func(p *peer, q heard) {
		return func(p *peer, q heard) {
			if q.method == "announce_peer" {
				got <- token
				p.reply(q, "")
				return
			}
			p.reply(q, token)
		}
	}
	full := startPeer(t, 1, answer(""))
	a, b := startPeer(t, 2, answer("5:token1:a")), startPeer(t, 3, answer("5:token1:b"))
	res, err := node.Announce(t.Context(), [20]byte{7}, 4848, 0, []Contact{full.contact, a.contact, b.contact})
	if err != nil || res.Took != 2 || len(got) != 2 {
		t.Errorf("%+v, %v, sent to %d", res, err, len(got))
	}
	for range len(got) {
		if <-got == "" {
			t.Error("announced to a node that gave no token")
		}
	}
	deaf := startPeer(t, 4, func(p *peer, q heard) {
		if q.method == "announce_peer" {
			p.send(q.from, fmt.Sprintf("d1:eli203e5:tokene1:t%d:%s1:y1:ee", len(q.tid), q.tid))
			return
		}
		p.reply(q, "5:token1:x")
	})
	if res, err := startNode(t, true).Announce(t.Context(), [20]byte{7}, 4848, 0, []Contact{deaf.contact}); !errors.Is(err, ErrNotAnnounced) {
		t.Errorf("refused by all: %+v, %v", res, err)
	}
}

func TestStoredAnnouncementsAreBounded(t *testing.T) {
	t.Parallel()
	s := newPeerStore(2)
	infohash := func(b byte) peer_store.InfoHash { return peer_store.InfoHash{b} }
	at := func(addr string) krpc.NodeAddr {
		p := netip.MustParseAddrPort(addr)
		return krpc.NodeAddr{IP: p.Addr().AsSlice(), Port: int(p.Port())}
	}
	for i := range 3 * maxPeersStored {
		s.AddPeer(infohash(1), at(fmt.Sprintf("8.8.%d.%d:80", i/250, i%250)))
		s.AddPeer(infohash(1), at(fmt.Sprintf("8.8.0.0:%d", 1024+i)))
	}
	if n := len(s.announced[infohash(1)]); n != maxPeersStored {
		t.Errorf("%d peers of an infohash", n)
	}
	if n := len(s.GetPeers(infohash(1))); n != maxPeersOfNode {
		t.Errorf("%d peers in an answer", n)
	}
	for b := range byte(9) {
		s.AddPeer(infohash(2+b), at("9.9.9.9:80"))
	}
	if len(s.announced) != 2 || len(s.GetPeers(infohash(2))) != 1 {
		t.Errorf("%d infohashes", len(s.announced))
	}
	ip := at("1.1.1.1:1").IP
	for _, bad := range []krpc.NodeAddr{{Port: 80}, at("[2606:4700::1]:80"), {IP: ip}, {IP: ip, Port: 1 << 16}, {IP: ip, Port: -1}} {
		s.AddPeer(infohash(2), bad)
	}
	if n := len(s.GetPeers(infohash(2))); n != 1 {
		t.Errorf("%d peers, with those that cannot be", n)
	}
	for ip, a := range s.announced[infohash(1)] {
		a.at = a.at.Add(-announceLifetime)
		s.announced[infohash(1)][ip] = a
	}
	s.AddPeer(infohash(9), at("9.9.9.9:80")) // takes the slot of one that has expired
	if len(s.GetPeers(infohash(1))) != 0 || len(s.GetPeers(infohash(9))) != 1 {
		t.Error("old announcements were kept")
	}
	if s.expire(infohash(9), time.Now()); len(s.GetPeers(infohash(9))) != 1 {
		t.Error("a new announcement expired")
	}
	none := newPeerStore(0)
	if none.AddPeer(infohash(1), at("9.9.9.9:80")); len(none.announced) != 0 {
		t.Error("a read-only node keeps announcements")
	}
}
