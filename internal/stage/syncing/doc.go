// Package syncing is the third stage: it knows which authors write to which
// relays, and makes the local relay complete with what those relays hold of
// those authors, by negentropy (NIP-77).
//
// The local relay's own database is the only event store: nothing counts as
// synced until the local relay has answered OK.
package syncing
