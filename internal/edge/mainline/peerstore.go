package mainline

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
	peer_store "github.com/anacrolix/dht/v2/peer-store"
)

const (
	maxInfohashes    = 1000
	maxPeersStored   = 500              // of one infohash; what libtorrent keeps
	announceLifetime = 30 * time.Minute // BEP 5 names none; what others do
)

// peerStore keeps what others announce to this node, within bounds: the library's own store has none, and no end of an
// announcement. An address has one port of an infohash, the latest. A store of size 0 keeps nothing.
type peerStore struct {
	size int // infohashes

	mu        sync.Mutex
	announced map[peer_store.InfoHash]map[netip.Addr]announcement
}

type announcement struct {
	port uint16
	at   time.Time
}

func newPeerStore(size int) *peerStore {
	return &peerStore{size: size, announced: make(map[peer_store.InfoHash]map[netip.Addr]announcement)}
}

// AddPeer keeps an announcement, unless the store or its infohash is full of others that are not old yet. The library has
// checked its token, and nothing else.
func (s *peerStore) AddPeer(infohash peer_store.InfoHash, peer krpc.NodeAddr) {
	ip, ok := netip.AddrFromSlice(peer.IP)
	if ip = ip.Unmap(); !ok || !ip.Is4() || peer.Port <= 0 || peer.Port > 1<<16-1 {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	peers := s.announced[infohash]
	if _, known := peers[ip]; !known && len(peers) >= maxPeersStored {
		s.expire(infohash, now)
	}
	if peers = s.announced[infohash]; peers == nil {
		if len(s.announced) >= s.size {
			for other := range s.announced {
				s.expire(other, now)
			}
		}
		if len(s.announced) >= s.size {
			return
		}
		peers = make(map[netip.Addr]announcement)
		s.announced[infohash] = peers
	}
	if _, known := peers[ip]; known || len(peers) < maxPeersStored {
		peers[ip] = announcement{uint16(peer.Port), now}
	}
}

// GetPeers returns those that a datagram can hold, other ones each time if there are more.
func (s *peerStore) GetPeers(infohash peer_store.InfoHash) (list []krpc.NodeAddr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(infohash, time.Now())
	for ip, a := range s.announced[infohash] {
		list = append(list, krpc.NodeAddr{IP: ip.AsSlice(), Port: int(a.port)})
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(len(list), maxPeersOfNode)]
}

// expire forgets old announcements of an infohash; mu is held.
func (s *peerStore) expire(infohash peer_store.InfoHash, now time.Time) {
	peers := s.announced[infohash]
	for ip, a := range peers {
		if now.Sub(a.at) >= announceLifetime {
			delete(peers, ip)
		}
	}
	if len(peers) == 0 {
		delete(s.announced, infohash)
	}
}
