package mainline

import (
	"bytes"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// Whatever is asked for, our queries are canonical, decodable by the library and say what was meant.
func FuzzQueries(f *testing.F) {
	f.Add([]byte(id20), int64(1732000000), []byte("nostr"), "token", []byte("12:Hello World!"), true)
	f.Add([]byte{}, int64(0), []byte{}, "", []byte("le"), false)
	f.Add([]byte(id20), int64(bep44.MaxSeq), bytes.Repeat([]byte{0}, bep44.MaxSalt), "\x00:e", []byte("d1:ai1ee"), true)
	f.Fuzz(func(t *testing.T, target []byte, seq int64, salt []byte, token string, value []byte, readOnly bool) {
		it := bep44.Item{Salt: salt, Seq: seq, Value: value}
		if it.Check() != nil || len(token) > 256 {
			return
		}
		var id, to [20]byte
		copy(to[:], target)
		tid := [tidSize]byte{7: 1}
		for method, q := range map[string]query{
			"get": getQuery(to, &seq), "put": putQuery(&it, token), "find_node": findNodeQuery(to),
			"get_peers": getPeersQuery(to), "announce_peer": announceQuery(to, uint16(seq), token),
		} {
			b := q.append([]byte("before"), id, tid, readOnly)[len("before"):]
			p, err := parsePacket(b)
			if err != nil {
				t.Fatalf("%q: %v", b, err)
			}
			libraryMustDecode(t, b)
			if p.kind != 'q' || !bytes.Equal(p.tid, tid[:]) || string(content(entry(b, "q"))) != method || (entry(b, "ro") != nil) != readOnly {
				t.Errorf("%q is not what was meant", b)
			}
			if method == "get_peers" || method == "announce_peer" {
				port, _ := bep44.DecodeInt(entry(p.body, "port"))
				announces := method == "announce_peer"
				if got := content(entry(p.body, "info_hash")); !bytes.Equal(got, to[:]) || entry(p.body, "implied_port") != nil ||
					announces && (uint16(port) != uint16(seq) || string(content(entry(p.body, "token"))) != token) {
					t.Errorf("%q is not what was meant", b)
				}
				continue
			}
			if got := entry(p.body, "target"); method != "put" && !bytes.Equal(content(got), to[:]) {
				t.Errorf("%q asks for %q", b, got)
			}
			n, err := bep44.DecodeInt(entry(p.body, "seq"))
			if method != "find_node" && (err != nil || n != seq) {
				t.Errorf("%q: seq is %d, %v", b, n, err)
			}
			if method == "put" && (!bytes.Equal(entry(p.body, "v"), value) || string(content(entry(p.body, "token"))) != token ||
				len(salt) > 0 && !bytes.Equal(content(entry(p.body, "salt")), salt)) {
				t.Errorf("%q is another item", b)
			}
		}
	})
}
