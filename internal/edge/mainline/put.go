package mainline

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// ErrNotStored means that nodes answered, but none gave the item back after the put.
var ErrNotStored = errors.New("no DHT node gave the item back after the put")

// PutOptions shape a put. The zero value is the usual one.
type PutOptions struct {
	K     int       // how many of the nearest live nodes are to hold the item; 8 if 0, 16 suits a new item
	Seeds []Contact // nodes to start from, for example the last holders
	// Renew sends the item to the nodes that hold it as well. Some drop an item two hours after it was last put to them
	// (BEP 44 allows it), and asking them for it does not count. Most keep it for good.
	Renew bool
}

// PutResult is what a put found and did.
type PutResult struct {
	// Holders are the nodes among the K nearest that hold the item: those that showed it before the put, and those
	// that gave it back after it. An acknowledgement alone does not count.
	Holders []Contact
	Stored  int // how many of the holders got it by this put
	// Superseded is a valid item with a higher seq that the network holds. Then nothing was put: it is the one to keep
	// alive, and the older one must not be put again.
	Superseded *bep44.Item
	// Equivocal means that some node holds another valid value with the same seq: the owner signed two. Those nodes were
	// left alone; the owner must sign again with a higher seq.
	Equivocal bool
	Closest   []Contact // the nearest live nodes, nearest first, at most one and a half times K: seeds for Refresh
	Queried   int       // nodes that were asked in the lookup
	// SharedBits is not 0 if the nodes nearest to the target are nearer than chance allows in a network as large as this
	// one: so many leading bits they share with it. Perhaps somebody has surrounded it, and they answer us only.
	SharedBits int
	Puts       int // nodes that were sent the item
}

// Put stores a signed item on the K live nodes nearest to its target, exactly as it is. It reads first: an item that
// the network holds with a higher seq wins, and nodes that hold this one are left alone. It then reads back what it put.
//
// The error is [ErrNoAnswer], [ErrNotStored], the context's, or one of package bep44 if the item does not verify.
// A result with Superseded has no error.
func (n *Node) Put(ctx context.Context, item bep44.Item, opts PutOptions) (PutResult, error) {
	if err := item.Verify(); err != nil {
		return PutResult{}, err
	}
	return n.put(ctx, &item, opts, nil)
}

// Refresh keeps an item alive that was put before. It is Put, but cheaper when little has changed: it starts from last,
// the Closest of the put or refresh before, and asks with the item's seq, so that a node that still has it answers without
// the value and counts as a holder by its own claim. Only nodes that lack the item are sent it. While at least half of the K
// nearest hold it without that, it is not read back: those that took it now count as holders from the next refresh on.
// The signature is not verified again: it was before the first put, and nodes refuse what does not verify.
func (n *Node) Refresh(ctx context.Context, item bep44.Item, last []Contact) (PutResult, error) {
	return n.put(ctx, &item, PutOptions{Seeds: last}, &item.Seq)
}

func (n *Node) put(ctx context.Context, item *bep44.Item, opts PutOptions, seq *int64) (PutResult, error) {
	s, err := n.lookUp(ctx, func() *search {
		s := n.newSearch(item.Target(), item.Salt, GetOptions{K: opts.K, Seeds: opts.Seeds, Seq: seq})
		s.setOwn(item)
		if len(opts.Seeds) >= s.opts.K {
			s.lookup.corroborate(minWitnesses)
		}
		return s
	})
	if err != nil {
		return PutResult{}, err
	}
	closest := s.lookup.closest(s.opts.K)
	res := PutResult{Queried: len(s.lookup.slots), Closest: s.neighbours()}
	if res.SharedBits = SharedBits(s.lookup.target, res.Closest, n.density.size()); res.SharedBits > 0 {
		n.log.WarnContext(ctx, "the nodes nearest to a record are nearer than chance allows: they may answer nobody else (relaymesh dht verify)",
			"target", hex.EncodeToString(s.lookup.target[:]), "shared_bits", res.SharedBits)
	}
	if s.best.Seq > item.Seq {
		res.Superseded = s.best
		res.Holders = s.holders(s.best)
		return res, nil
	}
	res.Equivocal = s.equivocal
	var holding, lacking []*candidate
	for _, c := range closest {
		switch {
		case s.holds(c, item):
			res.Holders = append(res.Holders, c.Contact)
			holding = append(holding, c)
		case c.item == nil || c.seq < item.Seq:
			lacking = append(lacking, c)
		}
	}
	to := lacking
	if opts.Renew {
		to = append(slices.Clone(lacking), holding...)
	}
	res.Puts = len(to)
	if err := s.putTo(ctx, to); err != nil {
		return res, err
	}
	if readBack := seq == nil || len(res.Holders) < s.opts.K/2; readBack {
		if err := s.readBack(ctx, lacking, &res); err != nil {
			return res, err
		}
	}
	if len(res.Holders) == 0 && res.Superseded == nil {
		return res, ErrNotStored
	}
	return res, nil
}

// minWitnesses is more than one node that lies.
const minWitnesses = 2

// setOwn makes the item that is to be put the best known one, so that only a newer one replaces it and its
// signature is not verified again.
func (s *search) setOwn(item *bep44.Item) {
	s.verified = append(s.verified, item)
	s.best = item
}

// putTries is how often the item is sent to a node that does not acknowledge it.
const putTries = 2

// putTo sends the item to nodes, and again to those that did not acknowledge it in time: perhaps the packet was lost. What they answer
// is not believed either way.
func (s *search) putTo(ctx context.Context, to []*candidate) error {
	item := s.best
	for range putTries {
		answered := make([]bool, len(to))
		err := s.queryEach(ctx, to, func(c *candidate) query { return putQuery(item, c.token) }, func(i int, _ *reply) { answered[i] = true })
		if err != nil {
			return err
		}
		var silent []*candidate
		for i, c := range to {
			if !answered[i] {
				silent = append(silent, c)
			}
		}
		to = silent
	}
	return nil
}

// readBack asks the nodes that were put to for the item.
func (s *search) readBack(ctx context.Context, from []*candidate, res *PutResult) error {
	item, get := s.best, getQuery(s.lookup.target, nil)
	err := s.queryEach(ctx, from, func(*candidate) query { return get }, func(i int, r *reply) {
		if it := s.verifyValue(r); it != nil && bep44.Compare(it, item) == bep44.Same {
			res.Holders = append(res.Holders, from[i].Contact)
			res.Stored++
		}
	})
	if s.best.Seq > item.Seq { // another put won the race
		res.Superseded = s.best
	}
	res.Equivocal = res.Equivocal || s.equivocal
	return err
}
