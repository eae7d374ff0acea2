// Package mainline is relaymesh's node on the Mainline DHT: it gets and puts BEP 44 items, and finds and announces
// the peers of an infohash (BEP 5).
//
//	Get, Put, Refresh, Peers, Announce ── lookup (decides) ── outbox (limits, transactions) ──┐
//	                                                                                          ├── guard ── UDP socket
//	anacrolix/dht server: routing table, bootstrap, answers to others ────────────────────────┘
//
// The guard owns the socket. It drops every packet that is not strictly valid KRPC or that comes from or goes to an
// address outside the public internet, because the library behind it dies of some malformed packets and queries any
// address that a stranger names. Replies to our own queries go to the lookup that asked; the rest goes to the library.
//
// The traffic of records is ours, not the library's: its get waits two seconds for each dead node, and its put
// reports success when nobody stored anything. A put here reads before it writes, never replaces a newer item, sends
// the item exactly as its owner signed it, and counts as stored only what nodes give back afterwards.
//
// Nothing a node says is believed: an item counts after its key hashes to the target and its signature verifies; a
// node counts under the id that it answered with. A peer is an address and no more: who reads must ask it.
package mainline
