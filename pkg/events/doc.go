// Package events is the public contract of relaymesh: the NATS subjects on
// which relays and other producers feed it, those of its outcomes and
// services, and the JSON payloads of all of them. A relay needs this package
// and a NATS client, nothing else.
//
//	 event.received, bare subjects     author.seen.*                relay.discovered.*
//	────────────────────────▶ ingest ────────────────▶ dhtworker ────────────────────▶ syncworker
//	                            │  relaylist.signed.*      ▲                               ▲
//	                            ├──────────────────────────┘   record.due.* (scheduler)    │ sync.due.* (scheduler)
//	                            │  note.missing.*
//	                            └──────────────────▶ fetcher
//
// Anyone with the permission publishes on the bare subjects, and ingest
// believes nothing of it. The keyed subjects (author.seen.<pubkey>, …) are
// internal.
//
// Everything here is data and pure functions: no network, no clock, no
// third-party import.
package events
