package mainline

import (
	"context"
	"errors"
)

// ErrNotAnnounced means that nodes answered, but none took the announcement.
var ErrNotAnnounced = errors.New("no DHT node took the announcement")

// PeersResult is what a lookup of an infohash found.
type PeersResult struct {
	// Peers are IPv4 addresses that may be dialled, those first that most nodes named. Of each address there is one; with
	// Config.AllowPrivate one for each port.
	Peers    []Peer
	Closest  []Contact // the nearest live nodes, nearest first: seeds for the next lookup
	Queried  int       // nodes that were asked
	Answered int       // nodes that replied
	// SharedBits is not 0 if the nodes that answered are nearer to the infohash than chance allows; see PutResult.
	SharedBits int
}

// Peers looks up who announced an infohash (BEP 5). k is how many of the nearest live nodes must have answered, 8 if 0;
// seeds are nodes to start from, perhaps none. What nodes say of peers is not verified: no peers without an error means
// that nodes answered and named none that may be dialled.
//
// The error is [ErrNoAnswer], or the context's.
func (n *Node) Peers(ctx context.Context, infohash [20]byte, k int, seeds []Contact) (PeersResult, error) {
	s, err := n.lookUpPeers(ctx, infohash, k, seeds, true)
	if err != nil {
		return PeersResult{}, err
	}
	return s.peersResult(), nil
}

// AnnounceResult is what an announcement came to.
type AnnounceResult struct {
	PeersResult     // from before the announcement
	Took        int // nodes that acknowledged it; none of them can be made to show it later
}

// Announce tells the k live nodes nearest to an infohash, 8 if 0, that at this host's address something listens on port
// (BEP 5). The address is the one that our packets come from. Nodes forget an announcement after about half an hour, and
// one that is full does not take it.
//
// The error is [ErrNoAnswer], [ErrNotAnnounced], or the context's.
func (n *Node) Announce(ctx context.Context, infohash [20]byte, port uint16, k int, seeds []Contact) (AnnounceResult, error) {
	if port == 0 {
		return AnnounceResult{}, errors.New("announce: the port is 0")
	}
	s, err := n.lookUpPeers(ctx, infohash, k, seeds, false)
	if err != nil {
		return AnnounceResult{}, err
	}
	res := AnnounceResult{PeersResult: s.peersResult()}
	to := s.lookup.closest(s.opts.K)
	err = s.queryEach(ctx, to, func(c *candidate) query { return announceQuery(infohash, port, c.token) }, func(_ int, r *reply) {
		if r.code == 0 {
			res.Took++
		}
	})
	if err == nil && res.Took == 0 {
		err = ErrNotAnnounced
	}
	return res, err
}

// lookUpPeers runs a lookup of an infohash. tokenless says that nodes which give no token count as well: those that have
// as many peers as they keep.
func (n *Node) lookUpPeers(ctx context.Context, infohash [20]byte, k int, seeds []Contact, tokenless bool) (*search, error) {
	return n.lookUp(ctx, func() *search {
		s := n.newSearch(infohash, nil, GetOptions{K: k, Seeds: seeds})
		s.query, s.peers, s.lookup.tokenless = getPeersQuery(infohash), newPeerTally(n.config.AllowPrivate), tokenless
		return s
	})
}

func (s *search) peersResult() PeersResult {
	r := PeersResult{Peers: s.peers.peers(), Closest: s.neighbours(), Queried: len(s.lookup.slots), Answered: s.lookup.answers}
	r.SharedBits = SharedBits(s.lookup.target, r.Closest, s.node.density.size())
	return r
}
