// Package events is the contract of relaymesh: the NATS subjects, the JSON
// payloads that travel on them, the JetStream streams, consumers and KV
// buckets that carry them, and the one verdict with which a stage answers a
// message.
//
// Everything here is data and pure functions: no network, no clock, no
// third-party import. A relay that wants to feed relaymesh needs this package
// and a NATS client, nothing else.
//
//	 event.received, bare subjects     author.seen.*                relay.discovered.*
//	────────────────────────▶ ingest ────────────────▶ dhtworker ────────────────────▶ syncworker
//	                            │  relaylist.signed.*      ▲                               ▲
//	                            ├──────────────────────────┘   record.due.* (scheduler)    │ sync.due.* (scheduler)
//	                            │  note.missing.*
//	                            └──────────────────▶ fetcher
//
// The bare subjects are public API: anyone with the permission publishes
// there, and ingest believes nothing of it. The keyed subjects are internal:
// a message on them is a wake-up, and what it stands for is in KV before it
// is published.
package events
