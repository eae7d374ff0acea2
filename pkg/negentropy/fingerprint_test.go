package negentropy

import (
	"crypto/sha256"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// "the first 16 bytes of SHA-256(sum || varint(count))", for counts of every length.
func TestFingerprint(t *testing.T) {
	h := newHasher() // used again and again, as in a session
	rapid.Check(t, func(t *rapid.T) {
		id := ID(rapid.SliceOfN(rapid.Byte(), idSize, idSize).Draw(t, "id"))
		count := rapid.IntRange(0, math.MaxInt>>rapid.IntRange(0, 62).Draw(t, "shift")).Draw(t, "count")
		var s Sum
		s.addID(&id)
		w := writer{buf: id[:]}
		w.varint(uint64(count))
		digest := sha256.Sum256(w.buf)
		if got, want := h.fingerprint(&s, count), Fingerprint(digest[:fingerprintSize]); got != want {
			t.Fatalf("fingerprint of %v, %d items: %x, want %x", id, count, got, want)
		}
	})
}
