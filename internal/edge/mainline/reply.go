package mainline

import (
	"bytes"
	"errors"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// maxNodes is how many nodes of one answer count. Honest nodes send eight, some sixteen.
const maxNodes = 16

// reply is a node's answer to one of our queries. Its slices are those of the packet.
type reply struct {
	id     [20]byte
	code   bep44.Code // 0 unless the node answered with an error
	nodes  []byte     // BEP 5 compact node info
	values []byte     // bencoded list of BEP 5 compact peers, nil without one
	token  []byte
	hasSeq bool
	seq    int64

	// What it carries of an item: all but the salt, which only the asker knows. value is nil without one.
	key   []byte
	sig   []byte
	value []byte
}

// newReply reads a reply that parsePacket has accepted.
func newReply(p packet) (r reply) {
	if p.kind == 'e' {
		code, _, _ := bep44.ScanValue(p.body[1:])
		n, _ := bep44.DecodeInt(code)
		r.code = bep44.Code(max(n, 1))
		return r
	}
	var value []byte
	for e := entriesOf(p.body); e.next(); {
		v := e.value
		switch string(e.key) {
		case "id":
			r.id = [20]byte(content(v))
		case "nodes":
			nodes := content(v)
			r.nodes = nodes[:min(len(nodes), maxNodes*compactSize)]
		case "values":
			r.values = v
		case "token":
			r.token = content(v)
		case "seq":
			r.hasSeq = true
			r.seq, _ = bep44.DecodeInt(v)
		case "k":
			r.key = content(v)
		case "sig":
			r.sig = content(v)
		case "v":
			value = v
		}
	}
	if r.key != nil { // parsePacket saw to it that v, sig and seq are there as well
		r.value = value
	}
	return r
}

var errForeign = errors.New("the item's key does not belong to the target")

// verify returns the item of a reply after checking that its key and the salt give the target, and its signature.
func (r *reply) verify(target [20]byte, salt []byte) (*bep44.Item, error) {
	it := &bep44.Item{Key: [32]byte(r.key), Salt: salt, Seq: r.seq, Sig: [64]byte(r.sig), Value: r.value}
	if it.Target() != target {
		return nil, errForeign
	}
	if err := it.Verify(); err != nil {
		return nil, err
	}
	it.Value = bytes.Clone(r.value)
	return it, nil
}

// carries reports whether the reply holds exactly this item, to the byte. An item that was verified once needs no
// second verification.
func (r *reply) carries(it *bep44.Item) bool {
	return r.seq == it.Seq && string(r.sig) == string(it.Sig[:]) && string(r.key) == string(it.Key[:]) && bytes.Equal(r.value, it.Value)
}
