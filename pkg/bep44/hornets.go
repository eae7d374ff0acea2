package bep44

import (
	"crypto/ed25519"
	"crypto/sha1"
	"strconv"
)

// What HORNETS relays made of BEP 44 and what is kept of it here: to read their events and find their relays. Nothing in
// this file is needed to publish.

// ParseHornetsDict reads the form that HORNETS relays accept in kind 11011, the same entries wrapped in a dictionary:
// d[4:salt<len>:<salt>]3:seqi<seq>e1:v<value>e. It is for discovery only: its usual signature covers the wrapping d
// and e ([VerifyHornetsDict]), which no DHT node verifies. The item may be published only if its own Verify passes.
func ParseHornetsDict(payload []byte) (Item, error) {
	if len(payload) < 2 || payload[0] != 'd' || payload[len(payload)-1] != 'e' {
		return Item{}, refuse(CodeProtocol, "not a bencoded dictionary")
	}
	return ParseSignedBuffer(payload[1 : len(payload)-1])
}

// LegacySecretDHTKey returns what older HORNETS relays call the DHT key of a Nostr secret key: the SHA-1 of the
// clamped key. It is no ed25519 key, nothing can be signed or published with it, and it discloses a hash of the
// secret; it exists to recognise such keys in old events.
func LegacySecretDHTKey(secret [32]byte) [20]byte {
	clamped := clamp(secret)
	return sha1.Sum(clamped[:])
}

// LegacyPublicDHTKey returns what older HORNETS relays call the DHT key of a Nostr public key: the SHA-1 of the x-only
// key. Like LegacySecretDHTKey it exists only to recognise old events.
func LegacyPublicDHTKey(pubkey [32]byte) [20]byte {
	return sha1.Sum(pubkey[:])
}

// VerifyHornetsDict checks a signature over the whole payload of [ParseHornetsDict], wrapping d and e included. It
// proves that the key's owner wrote the list, not that the DHT would store it.
func VerifyHornetsDict(payload []byte, key [32]byte, sig [64]byte) error {
	if SmallOrder(key) || !ed25519.Verify(key[:], payload, sig[:]) {
		return ErrBadSignature
	}
	return nil
}

// HornetsDirectoryKey is the public key under which HORNETS relays look for each other, each in a slot of its own. The
// seed that HORNETS publishes with it belongs to another key, so what HORNETS signs for a slot does not verify, and what
// is found under it comes from somebody else: it counts only after the signature of the relay document in it was checked.
var HornetsDirectoryKey = [32]byte{
	0x6b, 0x9f, 0x74, 0x78, 0x36, 0x89, 0x4f, 0xc2, 0xc6, 0xcd, 0xbe, 0x8d, 0xce, 0x52, 0xc1, 0xaf,
	0xc1, 0xc9, 0x48, 0xb5, 0x72, 0xf0, 0xc6, 0x62, 0x3a, 0x07, 0xcf, 0x77, 0xb5, 0xb8, 0xf8, 0x7f,
}

// HornetsDirectorySalt returns the salt of a slot under HornetsDirectoryKey, counted from 0: "nostr:relay:<slot>".
func HornetsDirectorySalt(slot int) []byte {
	return strconv.AppendInt([]byte("nostr:relay:"), int64(slot), 10)
}
