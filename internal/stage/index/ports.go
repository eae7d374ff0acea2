package index

import (
	"context"
	"net/netip"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Network is Mainline. Its methods are bounded in time by themselves.
type Network interface {
	// Peers returns who was announced for an infohash, by the word of the DHT nodes, and how many of these answered. The error
	// is of a network that does not answer.
	Peers(ctx context.Context, infohash [20]byte) (peers []netip.AddrPort, nodes int, err error)
	// Announce announces a port of this host, and returns how many nodes took it.
	Announce(ctx context.Context, infohash [20]byte, port uint16) (took int, err error)
}

// Relays are other indexes. Errors of both methods are [reconcile.ErrMisbehaving] for what was forged or not asked for.
type Relays interface {
	// Describe asks a relay for its statement that it is an index, whose signature is verified.
	Describe(ctx context.Context, url string) (Statement, error)
	// Ask returns up to limit stored events that match one of the filters; ids, signatures and filters are checked.
	Ask(ctx context.Context, url string, limit int, filters ...nostr.Filter) ([]nostr.Event, error)
}

// Statement is what a relay says of itself as an index, and where it was reached.
type Statement struct {
	Event   nostr.Event // the announcement
	Network string      // see Known
}

// Store keeps what is known of indexes over restarts.
type Store interface {
	Load() ([]Known, error)
	Save(all []Known) error
}
