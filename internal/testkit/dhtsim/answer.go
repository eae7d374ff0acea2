//go:build linux

package dhtsim

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/torrent/bencode"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// libtorrent's dos_blocker with its defaults.
const (
	blockAfter  = 50 // messages
	blockWithin = 10 * time.Second
	blockFor    = 5 * time.Minute
)

// boundTokens is the share of nodes whose tokens are good for one target only.
const boundTokens = 0.7

type item struct {
	key   [32]byte
	sig   [64]byte
	seq   int64
	value bencode.Bytes
}

// putArgs are the arguments of a put that [krpc.MsgArgs] cannot hold unchanged.
type putArgs struct {
	A struct {
		V bencode.Bytes `bencode:"v"`
	} `bencode:"a"`
}

// answer returns what the node at an address replies to a packet, nil if there is no such node or it keeps silent.
func (n *Net) answer(at netip.AddrPort, packet []byte) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stats.Packets++
	n.stats.Bytes += len(packet) + udpOverhead
	s, exists := n.world.stratum(at.Addr())
	if !exists {
		return nil
	}
	generation := n.world.generation(s)
	if n.world.port(generation) != at.Port() || n.ignores(s, time.Now()) {
		return nil
	}
	var m krpc.Msg
	if err := bencode.Unmarshal(packet, &m); err != nil || m.Y != "q" || m.A == nil {
		return nil
	}
	reply := krpc.Msg{Y: "r", T: m.T, R: &krpc.Return{ID: n.world.id(s, generation)}}
	switch m.Q {
	case "find_node":
		reply.R.Nodes = compact(n.world.table(s, reply.R.ID, m.A.Target))
	case "get":
		n.stats.Gets++
		n.get(s, at, m.A, reply.R)
	case "get_peers": // nobody's announcement is shown
		n.stats.Gets++
		reply.R.Nodes = compact(n.world.table(s, reply.R.ID, m.A.InfoHash))
		token := n.token(s, m.A.InfoHash)
		reply.R.Token = &token
	case "announce_peer":
		n.stats.Puts++
		if m.A.Token != n.token(s, m.A.InfoHash) {
			reply = krpc.Msg{Y: "e", T: m.T, E: &krpc.Error{Code: int(bep44.CodeProtocol), Msg: "bad token"}}
		}
	case "put":
		n.stats.Puts++
		if e := n.put(s, at, m.A, packet); e != nil {
			reply = krpc.Msg{Y: "e", T: m.T, E: e}
		}
	}
	b := bencode.MustMarshal(reply)
	n.stats.Replies++
	n.stats.ReplyBytes += len(b) + udpOverhead
	return b
}

func (n *Net) get(s uint32, at netip.AddrPort, a *krpc.MsgArgs, r *krpc.Return) {
	r.Nodes = compact(n.world.table(s, r.ID, a.Target))
	token := n.token(s, a.Target)
	r.Token = &token
	it := n.items[storageKey{at, a.Target}]
	if it == nil {
		return
	}
	r.Seq = &it.seq
	if a.Seq == nil || it.seq > *a.Seq {
		r.K, r.Sig, r.V = it.key, it.sig, it.value
	}
}

func (n *Net) put(s uint32, at netip.AddrPort, a *krpc.MsgArgs, packet []byte) *krpc.Error {
	var args putArgs
	if err := bencode.Unmarshal(packet, &args); err != nil || a.Seq == nil {
		return &krpc.Error{Code: int(bep44.CodeProtocol)}
	}
	target := bep44.Target(a.K, a.Salt)
	if a.Token != n.token(s, target) {
		return &krpc.Error{Code: int(bep44.CodeProtocol), Msg: "bad token"}
	}
	put := bep44.Item{Seq: *a.Seq, Value: args.A.V}
	var stored *bep44.Item
	if it := n.items[storageKey{at, target}]; it != nil {
		stored = &bep44.Item{Seq: it.seq, Value: it.value}
	}
	if err := bep44.Replace(stored, &put, nil); err != nil {
		return &krpc.Error{Code: int(bep44.CodeSeqTooLow), Msg: err.Error()}
	}
	n.items[storageKey{at, target}] = &item{key: a.K, sig: a.Sig, seq: *a.Seq, value: args.A.V}
	return nil
}

func (n *Net) token(s uint32, target [20]byte) string {
	if chance(aboutClient, uint64(s), 1) >= boundTokens {
		target = [20]byte{}
	}
	h := hash(aboutClient, uint64(s), 2, binary.BigEndian.Uint64(target[:]))
	return string(binary.BigEndian.AppendUint32(nil, uint32(h)))
}

// ignores counts a message to the node of stratum s, and reports whether it has banned the sender.
func (n *Net) ignores(s uint32, now time.Time) bool {
	w := n.heard[s]
	if w == nil {
		w = &window{since: now}
		n.heard[s] = w
	}
	if now.Before(w.until) {
		n.stats.IgnoredByBan++
		return true
	}
	if now.Sub(w.since) > blockWithin {
		w.since, w.count = now, 0
	}
	if w.count++; w.count <= blockAfter {
		return false
	}
	w.until = now.Add(blockFor)
	n.stats.Bans++
	return true
}

func compact(nodes []node) (out krpc.CompactIPv4NodeInfo) {
	for _, n := range nodes {
		out = append(out, krpc.NodeInfo{ID: n.id, Addr: krpc.NodeAddr{IP: n.addr.Addr().AsSlice(), Port: int(n.addr.Port())}})
	}
	return out
}
