// Package schnorr is the secp256k1 edge of relaymesh: it verifies and signs
// Nostr events (NIP-01 over BIP-340), reads keys, names of events, and filters as
// people write them (NIP-19), and signs and verifies HORNETS relay lists.
// pkg/nostr checks everything about an event that needs no key; this package adds
// what does.
//
// Secret keys never leave a [SecretKey]: it prints as a placeholder, in logs
// and in formatted text alike.
package schnorr
