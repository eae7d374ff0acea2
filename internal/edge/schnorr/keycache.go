package schnorr

import (
	"github.com/consensys/gnark-crypto/ecc/secp256k1"

	"github.com/relaymesh/relaymesh/internal/recent"
)

// authors remembers the points of the authors seen last: to find one is a
// square root, a fifth of what a signature costs in a batch. 2 x 16384 of about
// 200 bytes are 6 MiB.
var authors = keyCache{recent.Map[[32]byte, *secp256k1.G1Affine]{Size: 1 << 14}}

type keyCache struct {
	points recent.Map[[32]byte, *secp256k1.G1Affine]
}

// lift returns the point of a public key, always the same pointer while it is
// remembered, or nil if there is none.
func (c *keyCache) lift(x [32]byte) *secp256k1.G1Affine {
	if p, known := c.points.Get(x); known {
		return p
	}
	p := new(secp256k1.G1Affine)
	if !liftX(p, x) {
		return nil
	}
	p, _ = c.points.LoadOrStore(x, p)
	return p
}
