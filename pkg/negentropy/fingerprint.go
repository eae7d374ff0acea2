package negentropy

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"hash"
	"math/bits"
)

// Fingerprint stands for the contents of a range: the first 16 bytes of
// SHA-256(sum of the ids as little-endian 256-bit numbers, mod 2^256 || varint(count)).
type Fingerprint [16]byte

// Sum is a sum of ids, taken as little-endian numbers of 256 bits, mod 2^256: four
// limbs, the lowest first. Unlike a hash, it can be subtracted, so the sum of any
// range is the difference of two.
type Sum [4]uint64

func (s *Sum) addID(id *ID) {
	var c uint64
	s[0], c = bits.Add64(s[0], binary.LittleEndian.Uint64(id[0:8]), 0)
	s[1], c = bits.Add64(s[1], binary.LittleEndian.Uint64(id[8:16]), c)
	s[2], c = bits.Add64(s[2], binary.LittleEndian.Uint64(id[16:24]), c)
	s[3], _ = bits.Add64(s[3], binary.LittleEndian.Uint64(id[24:32]), c)
}

func (s *Sum) add(t *Sum) {
	var c uint64
	s[0], c = bits.Add64(s[0], t[0], 0)
	s[1], c = bits.Add64(s[1], t[1], c)
	s[2], c = bits.Add64(s[2], t[2], c)
	s[3], _ = bits.Add64(s[3], t[3], c)
}

func (s *Sum) sub(t *Sum) {
	var b uint64
	s[0], b = bits.Sub64(s[0], t[0], 0)
	s[1], b = bits.Sub64(s[1], t[1], b)
	s[2], b = bits.Sub64(s[2], t[2], b)
	s[3], _ = bits.Sub64(s[3], t[3], b)
}

// hasher makes fingerprints. A sum, a count and SHA-256's padding fill one block,
// so the state of the hash after that block is the digest. Reading the state
// spares what Sum does for callers that may go on writing, which is half of its
// cost. The standard library keeps the layout of a saved state, four bytes and
// then the eight words, because later versions must be able to resume from it.
type hasher struct {
	hash interface {
		hash.Hash
		encoding.BinaryAppender
	}
	block [sha256.BlockSize]byte
	state [128]byte
}

func newHasher() hasher {
	var h hasher
	h.hash = sha256.New().(interface {
		hash.Hash
		encoding.BinaryAppender
	})
	return h
}

// fingerprint closes the sum of a range that holds count items.
func (h *hasher) fingerprint(s *Sum, count int) Fingerprint {
	b := &h.block
	clear(b[:])
	for i, limb := range s {
		binary.LittleEndian.PutUint64(b[8*i:], limb)
	}
	n := len(ID{}) + putVarint(b[len(ID{}):], uint64(count))
	b[n] = 0x80
	binary.BigEndian.PutUint64(b[len(b)-8:], uint64(8*n))
	h.hash.Reset()
	h.hash.Write(b[:])
	state, _ := h.hash.AppendBinary(h.state[:0]) // never fails
	return Fingerprint(state[4:])
}
