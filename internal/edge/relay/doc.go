// Package relay is the websocket edge of relaymesh: a Nostr client that
// believes nothing it is told (NIP-01, 11, 42, 77).
//
// [Dial] opens one connection, [Pool] shares connections and remembers which
// relays do not answer, [Local] asks the relay that relaymesh stands beside
// what it lacks, in batches, and [Tail] follows a relay across disconnects.
//
// Every event that comes out was checked for shape, id and signature and
// matches the filter that asked for it. Messages, queues, concurrent requests
// and waiting times are bounded per connection. Relays named by strangers are
// dialled only at public addresses, which is checked on the address that the
// name resolved to, unless [Options.AllowPrivate].
package relay
