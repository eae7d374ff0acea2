// Package homerelay is the small Nostr relay that `relaymesh up` and the demo
// bring along, so that a newcomer needs nothing else: khatru for the protocol
// (NIP-01, 11, 42, 70, 77) over a store of its own on bbolt.
//
// What it promises: an event answered with OK true is on disk (one fsync for
// all events that arrive together); duplicates are found exactly; of a
// replaceable or addressable event only the newest version is kept, equal
// times going to the lowest id (NIP-01); an author's deletion (NIP-09) removes
// and keeps away what it names, before or after it arrives, and nobody else's
// can; an expired event (NIP-40) is neither taken nor served; ephemeral events
// are passed on and not stored. A query and a negentropy session see every
// match: no limit is applied that the client did not ask for.
//
// What it does not promise: khatru crashes the process on some malformed
// messages, so it belongs on a loopback port, which is the default. A public
// relay is strfry's, khatru's or another's job, with relaymesh beside it.
package homerelay
