package schnorr

import (
	"sync"

	"github.com/consensys/gnark-crypto/ecc/secp256k1"
)

// authors remembers the points of the authors seen last: to find one is a
// square root, a fifth of what a signature costs in a batch.
var authors keyCache

// keyCacheSize bounds the points of one generation: 2 x 16384 of about 200
// bytes are 6 MiB.
const keyCacheSize = 1 << 14

// keyCache holds two generations: a full young one becomes the old one, and
// what is still in use moves back.
type keyCache struct {
	mu         sync.Mutex
	young, old map[[32]byte]*secp256k1.G1Affine
}

// lift returns the point of a public key, always the same pointer while it is
// remembered, or nil if there is none.
func (c *keyCache) lift(x [32]byte) *secp256k1.G1Affine {
	c.mu.Lock()
	p := c.young[x]
	if p == nil {
		if p = c.old[x]; p != nil {
			c.add(x, p)
		}
	}
	c.mu.Unlock()
	if p != nil {
		return p
	}
	p = new(secp256k1.G1Affine)
	if !liftX(p, x) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first := c.young[x]; first != nil {
		return first
	}
	c.add(x, p)
	return p
}

func (c *keyCache) add(x [32]byte, p *secp256k1.G1Affine) {
	if len(c.young) >= keyCacheSize || c.young == nil {
		c.young, c.old = make(map[[32]byte]*secp256k1.G1Affine, 64), c.young
	}
	c.young[x] = p
}
