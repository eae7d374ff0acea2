package bep44

import (
	"crypto/ed25519"
	"crypto/sha256"
)

// KeyFromNostr derives the ed25519 identity that belongs to a Nostr secret key: its seed is the SHA-256 of the key
// clamped as an ed25519 scalar. HORNETS derives the same one, so both publish under the same target. Who knows only
// the npub cannot compute it: the public half must be announced in an event.
func KeyFromNostr(secret [32]byte) ed25519.PrivateKey {
	clamped := clamp(secret)
	seed := sha256.Sum256(clamped[:])
	return ed25519.NewKeyFromSeed(seed[:])
}

func clamp(secret [32]byte) [32]byte {
	secret[0] &= 248
	secret[31] &= 127
	secret[31] |= 64
	return secret
}

// smallOrder lists the y coordinates of the eight points of small order, with their non-canonical encodings.
var smallOrder = [][32]byte{
	{},  // order 4
	{1}, // order 1
	{
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	}, // order 8
	{
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	}, // order 8
	aroundPrime(0xec), // p-1, order 2
	aroundPrime(0xed), // p, the same point as 0
	aroundPrime(0xee), // p+1, the same point as 1
}

// aroundPrime returns the 32 bytes of 2^255-256+low, around the field's prime 2^255-19 (low 0xed).
func aroundPrime(low byte) (y [32]byte) {
	for i := range y {
		y[i] = 0xff
	}
	y[0], y[31] = low, 0x7f
	return y
}

// SmallOrder reports whether key is one of the few points for which signatures can be made without a secret. No owner
// has such a key; an all-zero key, the usual mark of a missing one, is among them.
func SmallOrder(key [32]byte) bool {
	key[31] &= 0x7f // the sign of x makes no difference
	for i := range smallOrder {
		if key == smallOrder[i] {
			return true
		}
	}
	return false
}
