package mainline

import (
	"bytes"
	"errors"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// maxNodes is how many nodes of one answer count. Honest nodes send eight, some sixteen.
const maxNodes = 16

// reply is a node's answer to one of our queries, copied out of the packet.
type reply struct {
	id     [20]byte
	code   bep44.Code // 0 unless the node answered with an error
	nodes  []Contact
	token  string
	hasSeq bool
	seq    int64
	item   *signedPart // nil without a value
}

// signedPart is what a reply carries of an item: all but the salt, which only the asker knows.
type signedPart struct {
	key   [32]byte
	sig   [64]byte
	value []byte
}

func newReply(p packet) *reply {
	r := &reply{}
	if p.kind == 'e' {
		code, _, _ := bep44.ScanValue(p.body[1:])
		n, _ := bep44.DecodeInt(code)
		r.code = bep44.Code(max(n, 1))
		return r
	}
	var part signedPart
	var hasKey bool
	for key, v := range entries(p.body) {
		switch string(key) {
		case "id":
			r.id = [20]byte(content(v))
		case "nodes":
			nodes := content(v)
			r.nodes, _ = ParseCompact(nodes[:min(len(nodes), maxNodes*compactSize)])
		case "token":
			r.token = string(content(v))
		case "seq":
			r.hasSeq = true
			r.seq, _ = bep44.DecodeInt(v)
		case "k":
			hasKey, part.key = true, [32]byte(content(v))
		case "sig":
			part.sig = [64]byte(content(v))
		case "v":
			part.value = v
		}
	}
	if hasKey { // parsePacket saw to it that v, sig and seq are there as well
		part.value = bytes.Clone(part.value)
		r.item = &part
	}
	return r
}

var errForeign = errors.New("the item's key does not belong to the target")

// verify returns the item of a reply after checking that its key and the salt give the target, and its signature.
func (r *reply) verify(target [20]byte, salt []byte) (*bep44.Item, error) {
	if bep44.Target(r.item.key, salt) != target {
		return nil, errForeign
	}
	it := &bep44.Item{Key: r.item.key, Salt: salt, Seq: r.seq, Value: r.item.value, Sig: r.item.sig}
	return it, it.Verify()
}

// carries reports whether the reply holds exactly this item, to the byte. An item that was verified once needs no
// second verification.
func (r *reply) carries(it *bep44.Item) bool {
	return r.item != nil && r.seq == it.Seq && r.item.sig == it.Sig && r.item.key == it.Key &&
		bytes.Equal(r.item.value, it.Value)
}

// event is a reply on its way to who asked.
type event struct {
	slot  int // which of the asker's queries it answers
	reply *reply
}
