// Package contract is what the stages agree on among themselves, as data and
// pure functions: keyed subjects, JetStream streams, consumers and KV buckets
// with the values in them, schedules, the NATS permissions of each role, and
// the one verdict with which a stage answers a message. The public part, which
// relays see, is [github.com/relaymesh/relaymesh/pkg/events].
//
// A message on a keyed subject is a wake-up: the facts behind it are in KV
// before it is published, so a newer one may replace it.
package contract
