// Package nostr has the Nostr vocabulary of relaymesh: events and their ids
// (NIP-01), filters, addresses of replaceable events, relay URLs and the
// network addresses behind them, and the JSON of all these. Signatures are not
// checked here, since that needs secp256k1.
//
// Everything here is data and pure functions: no network, no clock, no
// third-party import.
package nostr
