// Package bep44 holds the mutable items of BEP 44, which the Mainline DHT stores: their canonical form, their
// signatures, their targets, and which of two items wins. It does no I/O, keeps no state and imports only the
// standard library.
//
// What the owner of an item signs is not a bencoded dictionary but three (or two) of its entries in a row:
//
//	4:salt <len>:<salt>   3:seq i<seq>e   1:v <value>
//	└── only if salted ─┘                     └─ one bencoded value, at most 1000 bytes
//
//	4:salt6:foobar3:seqi1e1:v12:Hello World!
//
// and the place where it is stored is target = SHA-1(key ‖ salt). The value travels through this package as the raw
// bytes that were signed and is never decoded and encoded again, so what was signed is what is published.
//
// Stricter than the specification, because other implementations are: a sequence number lies within 0 and 2^53-1
// (libtorrent refuses negative ones, JavaScript nodes lose larger ones), a value is canonical bencoding, and a key of
// small order is refused.
//
// The package also maps Nostr to BEP 44: the ed25519 identity of a Nostr secret key ([KeyFromNostr]) and the value
// that holds a relay list ([EncodeRelayList]).
package bep44
