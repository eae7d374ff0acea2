// Package homerelay is the small Nostr relay that `relaymesh up` and the demo
// bring along, so that a newcomer needs nothing else: NIP-01, 9, 11, 40, 42,
// 45, 62, 70 and 77 over a store of its own on bbolt.
//
// What it promises: an event answered with OK true is on disk (one fsync for
// all events that arrive together); duplicates are found exactly; of a
// replaceable or addressable event only the newest version is kept, equal
// times going to the lowest id (NIP-01); an author's deletion (NIP-09) removes
// and keeps away what it names, before or after it arrives, and nobody else's
// can; an expired event (NIP-40) is neither taken nor served; ephemeral events
// are passed on and not stored; after a request to vanish (NIP-62) nothing is left or
// comes back of what its author wrote, or was sent in gift wraps, up to then. Direct
// messages, seals and gift wraps are shown, stored or live, counted or in a session, to
// their author and to those whom a p tag names, once they have proved their key; and
// to the pipeline, by [Relay.Token]. A query and a negentropy session see every
// match: no limit is applied that the client did not ask for.
//
// No input on the socket ends the process. Messages of a connection are taken
// one after the other, everything that they start is counted against the
// limits of limits.go, and where a limit is reached the socket is not read on,
// or the request is refused in the words of its own protocol. Why this is not
// khatru: docs/adr/0006.
//
// One stranger is one stranger. Connections, subscriptions, sessions, records and
// bytes held are counted by address and network (ledger.go): where one of them is
// used up, the address that has most gives way. Work takes turns by address
// (gate.go), so whoever floods waits behind itself. An event meets only those
// filters that ask for something it has (matcher.go). Any web page may open a
// websocket to a loopback address: pages are counted apart from other programs.
// The pipeline beside the relay shows a key and is not counted.
//
// What it does not promise: to serve the public. It has no accounts, no rate
// limits and no policy; that is strfry's, khatru's or another relay's job,
// with relaymesh beside it.
package homerelay
