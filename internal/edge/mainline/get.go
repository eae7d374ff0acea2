package mainline

import (
	"context"
	"errors"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// ErrNoAnswer means that no node answered at all: the network is out of reach, which says nothing about the item.
var ErrNoAnswer = errors.New("no DHT node answered: check the network, the firewall (UDP) and the bootstrap nodes")

// GetOptions shape a lookup. The zero value is a complete one.
type GetOptions struct {
	K      int       // how many of the nearest live nodes must have answered; 8 if 0
	Alpha  int       // how many are asked at a time; 3 if 0
	Seeds  []Contact // nodes to start from, for example the last holders
	Seq    *int64    // nodes need not send an item whose seq is not higher; they are holders by their own claim
	Enough int       // stop as soon as so many nodes returned the highest item; 0 is a complete lookup
	// OnItem, if set, is called during the lookup with every valid item that is newer than those before it, so that
	// a first answer can be shown early and corrected. It must not block.
	OnItem func(bep44.Item)
}

// GetResult is what a lookup found.
type GetResult struct {
	Item      *bep44.Item // the valid item with the highest seq, nil if no node returned one
	Holders   []Contact   // the nodes that returned Item, or with GetOptions.Seq that named that very seq
	Closest   []Contact   // the nearest live nodes, nearest first, at most one and a half times K: good seeds for next time
	Equivocal bool        // nodes returned two valid values with the highest seq; Item is the first seen
	Queried   int         // nodes that were asked
	Answered  int         // nodes that replied
}

// Get looks up the item of a target. salt is needed to check what nodes return, because they do not return it; it must
// be the one in the target. Nothing that does not verify is returned or counted.
//
// A nil Item without an error means that nodes answered and none has it. The error is [ErrNoAnswer], or the context's.
func (n *Node) Get(ctx context.Context, target [20]byte, salt []byte, opts GetOptions) (GetResult, error) {
	s, err := n.lookUp(ctx, func() *search { return n.newSearch(target, salt, opts) })
	return s.result(), err
}
