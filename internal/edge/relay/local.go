package relay

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// gather is how long a question waits for others to share its REQ.
	gather = 5 * time.Millisecond
	// How much one REQ asks; every known relay gives a hundred events and
	// takes ten filters.
	idsPerREQ       = 100
	addressesPerREQ = 10
)

// Local is the relay that relaymesh stands beside: the only store of events.
type Local struct {
	reconcile.Relay

	pool      *Pool
	url       string
	names     []string // url, and those that its clients know it by
	ids       *batcher
	addresses *batcher
	undeleted *batcher
}

// NewLocal returns the local relay at url, reached through the pool, which
// must allow its address; clients may know it by public URLs, normalised. Its
// methods may be called concurrently.
func NewLocal(pool *Pool, url string, public ...string) *Local {
	l := &Local{Relay: pool.At(url), pool: pool, url: url, names: append([]string{url}, public...)}
	l.ids = &batcher{size: idsPerREQ, ask: l.haveIDs}
	l.addresses = &batcher{size: addressesPerREQ, ask: l.haveAddresses}
	l.undeleted = &batcher{size: deletionsPerREQ, ask: l.haveUndeleted}
	return l
}

// Missing returns those of the event ids that the relay does not have, in
// their order. Calls that come while others are asked share a REQ. What is
// no event id counts as missing.
func (l *Local) Missing(ctx context.Context, ids []string) ([]string, error) {
	return l.ids.missing(ctx, ids)
}

// MissingAddresses returns those of the addresses (kind:pubkey:d, the NIP-01
// "a" tag) at which the relay has no event, in their order. What is no address
// counts as missing.
func (l *Local) MissingAddresses(ctx context.Context, addresses []string) ([]string, error) {
	return l.addresses.missing(ctx, addresses)
}

// haveIDs asks which of the ids the relay has.
func (l *Local) haveIDs(ctx context.Context, ids []string) (map[string]bool, error) {
	have := map[string]bool{}
	asked := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !nostr.IsHex(id, 32) })
	err := l.pool.eachID(ctx, l.url, asked, true, func(e *nostr.Event) bool {
		have[e.ID] = true
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("local relay: %w", err)
	}
	return have, nil
}

// haveAddresses asks at which of the addresses the relay has an event, with
// filters of its own each: only so does every one of them get its own limit.
func (l *Local) haveAddresses(ctx context.Context, addresses []string) (map[string]bool, error) {
	asked := map[string]nostr.Address{}
	var filters []nostr.Filter
	for _, text := range addresses {
		if a, err := nostr.ParseAddress(text); err == nil {
			asked[text] = a
			filters = append(filters, a.Filters(1)...)
		}
	}
	found := map[nostr.Address]bool{}
	err := l.each(ctx, filters, func(e *nostr.Event) {
		if a, ok := nostr.AddressOf(e); ok {
			found[a] = true
		}
	})
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for text, a := range asked {
		have[text] = found[a]
	}
	return have, nil
}

// each runs a query without checking signatures: the local relay did.
func (l *Local) each(ctx context.Context, filters []nostr.Filter, do func(*nostr.Event)) error {
	err := l.pool.request(ctx, l.url, request{filters: filters, trusted: true}, func(u reconcile.Update) bool {
		do(&u.Event)
		return true
	})
	if err != nil {
		return fmt.Errorf("local relay: %w", err)
	}
	return nil
}
