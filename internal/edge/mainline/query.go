package mainline

import (
	"strconv"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// tidSize is the length of our transaction ids: random, and longer than those of the library, so that the two never
// meet.
const tidSize = 8

// A query is the bencoded body of a KRPC query: what follows "id" in the arguments, and the method.
type query struct {
	args   []byte // sorted entries
	method string // bencoded
}

func getQuery(target [20]byte, seq *int64) query {
	b := make([]byte, 0, 80)
	if seq != nil {
		b = append(strconv.AppendInt(append(b, "3:seqi"...), *seq, 10), 'e')
	}
	return query{args: appendTarget(b, target), method: "3:get"}
}

func findNodeQuery(target [20]byte) query {
	return query{args: appendTarget(nil, target), method: "9:find_node"}
}

// getPeersQuery asks for the peers of an infohash (BEP 5).
func getPeersQuery(infohash [20]byte) query {
	b := append(append(make([]byte, 0, 80), "9:info_hash20:"...), infohash[:]...)
	return query{args: append(b, wantIPv4...), method: "9:get_peers"}
}

// announceQuery announces our address with this port, never with the one that the packet leaves from: it is another socket's.
func announceQuery(infohash [20]byte, port uint16, token string) query {
	b := append(append(make([]byte, 0, 96+len(token)), "9:info_hash20:"...), infohash[:]...)
	b = append(strconv.AppendUint(append(b, "4:porti"...), uint64(port), 10), 'e')
	return query{args: append(append(b, "5:token"...), bep44.EncodeString([]byte(token))...), method: "13:announce_peer"}
}

// appendTarget asks for IPv4 nodes only: BEP 32 wants a table of its own for IPv6, and Mainline has little of it.
func appendTarget(b []byte, target [20]byte) []byte {
	b = append(append(b, "6:target20:"...), target[:]...)
	return append(b, wantIPv4...)
}

const wantIPv4 = "4:wantl2:n4e"

// putQuery carries an item exactly as signed. It never sends cas: nodes disagree about its meaning.
func putQuery(it *bep44.Item, token string) query {
	b := make([]byte, 0, 256+len(it.Value))
	b = append(append(b, "1:k32:"...), it.Key[:]...)
	if len(it.Salt) > 0 {
		b = append(append(b, "4:salt"...), bep44.EncodeString(it.Salt)...)
	}
	b = append(strconv.AppendInt(append(b, "3:seqi"...), it.Seq, 10), 'e')
	b = append(append(b, "3:sig64:"...), it.Sig[:]...)
	b = append(append(b, "5:token"...), bep44.EncodeString([]byte(token))...)
	b = append(append(b, "1:v"...), it.Value...)
	return query{args: b, method: "3:put"}
}

// append appends the packet to b. readOnly marks the sender as one that answers no queries (BEP 43), so that others keep
// it out of their tables.
func (q query) append(b []byte, id [20]byte, tid [tidSize]byte, readOnly bool) []byte {
	b = append(append(b, "d1:ad2:id20:"...), id[:]...)
	b = append(append(b, q.args...), 'e')
	b = append(append(b, "1:q"...), q.method...)
	if readOnly {
		b = append(b, "2:roi1e"...)
	}
	b = append(append(b, "1:t8:"...), tid[:]...)
	return append(b, "1:y1:qe"...)
}
