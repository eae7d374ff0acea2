package mainline

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/torrent/bencode"
)

const id20 = "abcdefghij0123456789"

// Packets as real nodes send them.
var goodPackets = []string{
	"d1:ad2:id20:" + id20 + "e1:q4:ping1:t2:aa1:y1:qe",
	"d1:ad2:id20:" + id20 + "6:target20:" + id20 + "4:wantl2:n42:n6ee1:q9:find_node2:roi1e1:t2:aa1:v4:LT\x02\x081:y1:qe",
	"d1:ad2:id20:" + id20 + "9:info_hash20:" + id20 + "6:noseedi1e6:scrapei1ee1:q9:get_peers1:t2:aa1:y1:qe",
	"d1:ad2:id20:" + id20 + "12:implied_porti1e9:info_hash20:" + id20 + "4:porti6881e5:token4:aoeue1:q13:announce_peer1:t2:aa1:y1:qe",
	"d1:ad3:casi1e2:id20:" + id20 + "1:k32:" + id20 + "abcdefghijkl4:salt6:foobar3:seqi1e3:sig64:" + strings.Repeat("s", 64) +
		"5:token4:aoeu1:vd1:ai1e1:bl1:xeee1:q3:put1:t2:aa1:y1:qe",
	"d2:ip6:\x7f\x00\x00\x01\x1a\xe11:rd2:id20:" + id20 + "5:nodes26:" + id20 + "\x7f\x00\x00\x01\x1a\xe15:token4:aoeue1:t2:aa1:y1:re",
	"d1:rd2:id20:" + id20 + "1:k32:" + id20 + "abcdefghijkl5:nodes0:3:seqi1e3:sig64:" + strings.Repeat("s", 64) +
		"5:token4:aoeu1:v12:Hello World!e1:t2:aa1:y1:re",
	"d1:rd2:id20:" + id20 + "5:token4:aoeu6:valuesl6:\x7f\x00\x00\x01\x1a\xe118:0123456789abcdef\x1a\xe1ee1:t2:aa1:y1:re",
	"d1:rd2:id20:" + id20 + "8:intervali9e3:numi2e7:samples20:" + id20 + "e1:t2:aa1:y1:re",
	"d1:eli203e14:protocol errore1:t2:aa1:y1:ee",
}

// Packets that kill the library or make it log, each with one thing wrong.
var badPackets = map[string]string{
	"ip shorter than a port (crash)":     "d2:ip0:1:t1:x1:y1:qe",
	"ip of 1 byte in a reply (crash)":    "d2:ip1:x1:rd2:id20:" + id20 + "e1:t2:aa1:y1:re",
	"a value of 1 byte (crash)":          "d1:rd2:id20:" + id20 + "6:valuesl1:xee1:t2:aa1:y1:re",
	"put without arguments (crash)":      "d1:q3:put1:t1:x1:y1:qe",
	"announce without arguments (crash)": "d1:q13:announce_peer1:t1:x1:y1:qe",
	"k without seq (crash)": "d1:rd2:id20:" + id20 + "1:k32:" + id20 + "abcdefghijkl3:sig64:" + strings.Repeat("s", 64) +
		"1:v1:xe1:t2:aa1:y1:re",
	"k without value": "d1:rd2:id20:" + id20 + "1:k32:" + id20 + "abcdefghijkl3:seqi1e3:sig64:" + strings.Repeat("s", 64) +
		"e1:t2:aa1:y1:re",
	"empty":                               "",
	"no dictionary":                       "le",
	"bytes after the end":                 goodPackets[0] + "x",
	"cut short":                           goodPackets[0][:40],
	"unsorted keys":                       "d1:t2:aa1:ad2:id20:" + id20 + "e1:q4:ping1:y1:qe",
	"duplicate keys":                      "d1:ad2:id20:" + id20 + "e1:q4:ping1:t2:aa1:t2:aa1:y1:qe",
	"no transaction id":                   "d1:ad2:id20:" + id20 + "e1:q4:ping1:y1:qe",
	"transaction id of a kilobyte":        "d1:ad2:id20:" + id20 + "e1:q4:ping1:t1000:" + strings.Repeat("t", 1000) + "1:y1:qe",
	"no kind":                             "d1:ad2:id20:" + id20 + "e1:q4:ping1:t2:aae",
	"unknown kind":                        "d1:ad2:id20:" + id20 + "e1:q4:ping1:t2:aa1:y1:xe",
	"kind of two letters":                 "d1:ad2:id20:" + id20 + "e1:q4:ping1:t2:aa1:y2:qre",
	"query without a method":              "d1:ad2:id20:" + id20 + "e1:t2:aa1:y1:qe",
	"query without an id":                 "d1:ad6:target20:" + id20 + "e1:q3:get1:t2:aa1:y1:qe",
	"reply without a body":                "d1:t2:aa1:y1:re",
	"reply without an id":                 "d1:rd5:token4:aoeue1:t2:aa1:y1:re",
	"reply that is a list":                "d1:rl2:id20:" + id20 + "e1:t2:aa1:y1:re",
	"id of 19 bytes":                      "d1:ad2:id19:" + id20[:19] + "e1:q4:ping1:t2:aa1:y1:qe",
	"nodes of 25 bytes":                   "d1:rd2:id20:" + id20 + "5:nodes25:" + id20 + "12345e1:t2:aa1:y1:re",
	"token of a kilobyte":                 "d1:rd2:id20:" + id20 + "5:token1000:" + strings.Repeat("t", 1000) + "e1:t2:aa1:y1:re",
	"token that is a number":              "d1:rd2:id20:" + id20 + "5:tokeni1ee1:t2:aa1:y1:re",
	"seq that is a string":                "d1:rd2:id20:" + id20 + "3:seq1:1e1:t2:aa1:y1:re",
	"seq beyond 64 bits":                  "d1:rd2:id20:" + id20 + "3:seqi9223372036854775808ee1:t2:aa1:y1:re",
	"want that is a string":               "d1:ad2:id20:" + id20 + "4:want2:n4e1:q4:ping1:t2:aa1:y1:qe",
	"key of 31 bytes":                     "d1:ad2:id20:" + id20 + "1:k31:" + id20 + "abcdefghijke1:q3:put1:t2:aa1:y1:qe",
	"error without a message":             "d1:eli203ee1:t2:aa1:y1:ee",
	"error that is a string":              "d1:e3:bad1:t2:aa1:y1:ee",
	"nesting":                             "d1:a" + strings.Repeat("l", 1000) + strings.Repeat("e", 1000) + "1:q4:ping1:t2:aa1:y1:qe",
	"longer than any packet":              "d1:ad2:id20:" + id20 + "1:v4096:" + strings.Repeat("v", 4096) + "e1:q3:put1:t2:aa1:y1:qe",
	"reply whose arguments are malformed": "d1:ad2:id1:xe1:rd2:id20:" + id20 + "e1:t2:aa1:y1:re",
}

func TestGuardLetsRealPacketsThrough(t *testing.T) {
	t.Parallel()
	for _, p := range goodPackets {
		if _, err := parsePacket([]byte(p)); err != nil {
			t.Errorf("%q: %v", p, err)
		}
		libraryMustDecode(t, []byte(p))
	}
}

func TestGuardRefuses(t *testing.T) {
	t.Parallel()
	for what, p := range badPackets {
		if got, err := parsePacket([]byte(p)); err == nil {
			t.Errorf("%s: accepted as %c", what, got.kind)
		}
	}
}

func libraryMustDecode(t testing.TB, packet []byte) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("the library panics at %q: %v", packet, r)
		}
	}()
	var m krpc.Msg
	if err := bencode.Unmarshal(packet, &m); err != nil {
		t.Fatalf("the library would log %q: %v", packet, err)
	}
	if m.Y == "q" && m.A == nil {
		t.Fatalf("the library would dereference the missing arguments of %q", packet)
	}
}

// What the guard lets through must neither kill the library nor make it log.
func FuzzParsePacket(f *testing.F) {
	for _, p := range goodPackets {
		f.Add([]byte(p))
	}
	for _, p := range badPackets {
		f.Add([]byte(p))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePacket(b)
		if err != nil {
			return
		}
		libraryMustDecode(t, b)
		if p.kind != 'q' {
			newReply(p)
		}
	})
}

// The same property for packets that are made of the right keys with random values, which byte mutations rarely reach.
func TestRandomPacketsThatPassAreHarmless(t *testing.T) {
	t.Parallel()
	passed := 0
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		b := randomPacket(rng)
		p, err := parsePacket(b)
		if err != nil {
			continue
		}
		passed++
		libraryMustDecode(t, b)
		if p.kind != 'q' {
			newReply(p)
		}
	}
	if passed < 1000 {
		t.Errorf("only %d of 50000 packets passed: the generator tests nothing", passed)
	}
}

// randomPacket makes a packet of known keys, most of them well-formed, some not.
func randomPacket(rng *rand.Rand) []byte {
	if rng.IntN(4) == 0 {
		return mutate(rng, []byte(goodPackets[rng.IntN(len(goodPackets))]))
	}
	var b bytes.Buffer
	kind := "qre"[rng.IntN(3)]
	b.WriteByte('d')
	for _, key := range []string{"a", "e", "ip", "q", "r", "ro", "t", "v", "y"} {
		needed := key == "t" || key == "y" || kind == 'q' && (key == "a" || key == "q") || string(kind) == key
		if !needed && rng.IntN(8) != 0 || rng.IntN(100) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%d:%s", len(key), key)
		switch {
		case rng.IntN(60) == 0:
			randomValue(rng, &b, 3)
		case key == "a":
			randomDict(rng, &b, argumentKeys)
		case key == "r":
			randomDict(rng, &b, returnKeys)
		case key == "e":
			b.WriteString("li203e1:xe")
		case key == "ip":
			b.WriteString("6:123456")
		case key == "ro":
			b.WriteString("i1e")
		case key == "q":
			m := []string{"ping", "find_node", "get_peers", "announce_peer", "get", "put", "vote"}[rng.IntN(7)]
			fmt.Fprintf(&b, "%d:%s", len(m), m)
		case key == "y":
			fmt.Fprintf(&b, "1:%c", kind)
		default:
			b.WriteString("2:aa")
		}
	}
	b.WriteByte('e')
	return b.Bytes()
}

var (
	argumentKeys = []string{
		"cas", "id", "implied_port", "info_hash", "k", "noseed", "port", "salt", "scrape", "seq", "sig", "target", "token",
		"v", "want",
	}
	returnKeys = []string{"BFpe", "BFsd", "id", "interval", "k", "nodes", "nodes6", "num", "samples", "seq", "sig", "token", "v", "values"}
	lengths    = map[string]int{
		"id": 20, "target": 20, "info_hash": 20, "k": 32, "sig": 64, "nodes": 52, "nodes6": 38, "samples": 40, "BFsd": 256, "BFpe": 256,
		"token": 8, "salt": 5,
	}
)

func randomDict(rng *rand.Rand, b *bytes.Buffer, keys []string) {
	b.WriteByte('d')
	for _, key := range keys {
		if key != "id" && rng.IntN(3) != 0 || rng.IntN(100) == 0 {
			continue
		}
		fmt.Fprintf(b, "%d:%s", len(key), key)
		n, isText := lengths[key]
		switch {
		case rng.IntN(60) == 0 || key == "v":
			randomValue(rng, b, 4)
		case isText:
			if rng.IntN(60) == 0 {
				n = rng.IntN(300)
			}
			fmt.Fprintf(b, "%d:%s", n, strings.Repeat(string(rune('a'+rng.IntN(26))), n))
		case key == "want":
			b.WriteString("l2:n4e")
		case key == "values":
			b.WriteString("l6:123456e")
		default:
			fmt.Fprintf(b, "i%de", int64(rng.Uint64())>>rng.IntN(64))
		}
	}
	b.WriteByte('e')
}

func randomValue(rng *rand.Rand, b *bytes.Buffer, depth int) {
	switch n := rng.IntN(4); {
	case n == 0 || depth == 0:
		fmt.Fprintf(b, "i%de", int64(rng.Uint64()))
	case n == 1:
		n := rng.IntN(70)
		fmt.Fprintf(b, "%d:%s", n, strings.Repeat("x", n))
	case n == 2:
		b.WriteByte('l')
		for range rng.IntN(3) {
			randomValue(rng, b, depth-1)
		}
		b.WriteByte('e')
	default:
		b.WriteByte('d')
		for _, key := range []string{"0:", "1:a", "2:id"} {
			if rng.IntN(2) == 0 {
				b.WriteString(key)
				randomValue(rng, b, depth-1)
			}
		}
		b.WriteByte('e')
	}
}

func mutate(rng *rand.Rand, b []byte) []byte {
	for range 1 + rng.IntN(3) {
		at := rng.IntN(len(b))
		switch rng.IntN(3) {
		case 0:
			b[at] ^= byte(1 << rng.IntN(8))
		case 1:
			b = append(b[:at], b[min(len(b), at+1+rng.IntN(4)):]...)
		default:
			b = bytes.Join([][]byte{b[:at], b[at:min(len(b), at+4)], b[at:]}, nil)
		}
		if len(b) == 0 {
			return []byte("d")
		}
	}
	return b
}
