package negentropy

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// Fingerprint stands for the contents of a range: the first 16 bytes of
// SHA-256(sum of the ids as little-endian 256-bit numbers, mod 2^256 || varint(count)).
type Fingerprint [16]byte

// sum is a 256-bit number in little-endian limbs. Unlike a hash, it can be
// subtracted, so the sum of any range is the difference of two prefix sums.
type sum [4]uint64

func (s *sum) addID(id *ID) {
	var c uint64
	s[0], c = bits.Add64(s[0], binary.LittleEndian.Uint64(id[0:8]), 0)
	s[1], c = bits.Add64(s[1], binary.LittleEndian.Uint64(id[8:16]), c)
	s[2], c = bits.Add64(s[2], binary.LittleEndian.Uint64(id[16:24]), c)
	s[3], _ = bits.Add64(s[3], binary.LittleEndian.Uint64(id[24:32]), c)
}

func (s *sum) add(t *sum) {
	var c uint64
	s[0], c = bits.Add64(s[0], t[0], 0)
	s[1], c = bits.Add64(s[1], t[1], c)
	s[2], c = bits.Add64(s[2], t[2], c)
	s[3], _ = bits.Add64(s[3], t[3], c)
}

func (s *sum) sub(t *sum) {
	var b uint64
	s[0], b = bits.Sub64(s[0], t[0], 0)
	s[1], b = bits.Sub64(s[1], t[1], b)
	s[2], b = bits.Sub64(s[2], t[2], b)
	s[3], _ = bits.Sub64(s[3], t[3], b)
}

// fingerprint closes the sum of a range that holds count items.
func (s *sum) fingerprint(count int) Fingerprint {
	var buf [32 + maxVarintLen]byte
	binary.LittleEndian.PutUint64(buf[0:], s[0])
	binary.LittleEndian.PutUint64(buf[8:], s[1])
	binary.LittleEndian.PutUint64(buf[16:], s[2])
	binary.LittleEndian.PutUint64(buf[24:], s[3])
	n := 32 + putVarint(buf[32:], uint64(count))
	digest := sha256.Sum256(buf[:n])
	return Fingerprint(digest[:16])
}
