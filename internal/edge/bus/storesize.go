package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// storeSize is for how many bytes all streams and buckets are bounded.
type storeSize struct {
	bytes int64
	// open: nobody has asked for that size and nothing was ever kept in it, so it
	// may still shrink.
	open bool
	// shrunk: it has, just now.
	shrunk bool
}

// sizeFor is the size that the operator asks for, or else that of the intake, which is
// nil where nothing is yet: then it is what the account leaves. Neither is more than
// atMost, what the server has room for as far as is known.
func sizeFor(ctx context.Context, js jetstream.JetStream, o ProvisionOptions, intake jetstream.Stream, atMost int64) (storeSize, error) {
	switch {
	case o.Store != 0 && o.Store < contract.MinStore:
		return storeSize{}, fmt.Errorf("a store of %d bytes: at least %d are needed", o.Store, contract.MinStore)
	case o.Store != 0:
		return storeSize{bytes: o.Store}, nil
	case intake == nil:
		size := storeSize{bytes: atMost, open: true}
		if account, err := js.AccountInfo(ctx); err == nil {
			size.bytes = min(atMost, accountStore(account, o.Replicas))
		}
		size.shrunk = size.bytes < contract.FullStore
		return size, nil
	}
	info := intake.CachedInfo()
	size := storeSize{bytes: StoreOf(info.Config.Metadata), open: info.State.LastSeq == 0}
	if size.open && size.bytes > atMost {
		size.bytes, size.shrunk = atMost, true
	}
	return size, nil
}

// accountStore is the size for what the limits of an account leave to us, from
// [contract.MinStore] to [contract.FullStore]. Where the bounds of the full size do not
// fit, all that grows without a bound has its part of the room as well.
func accountStore(a *jetstream.AccountInfo, replicas int) int64 {
	tier, copies := a.Tier, int64(replicas)
	if len(a.Tiers) > 0 { // each counts one copy
		of, there := a.Tiers[fmt.Sprint("R", replicas)]
		if !there {
			return contract.FullStore
		}
		tier, copies = of, 1
	}
	store := int64(contract.FullStore)
	if limit := tier.Limits.MaxStore; limit >= 0 {
		room := (limit - int64(max(tier.ReservedStore, tier.Store))) / copies //nolint:gosec // bytes of a disk
		if room < contract.Bounds(store) {
			store = room
		}
	}
	if limit := tier.Limits.StoreMaxStreamBytes; limit > 0 {
		if largest := contract.Largest(); limit < largest {
			store = min(store, int64(float64(limit)/float64(largest)*contract.FullStore))
		}
	}
	return max(store, contract.MinStore)
}

// smaller is the next size to try where the bounds of this one do not fit: there is
// less room than they come to.
func (s storeSize) smaller() int64 { return max(contract.Bounds(s.bytes), contract.MinStore) }

// shrinkage tells of bounds that have shrunk by themselves.
func (s storeSize) shrinkage() []Change {
	if !s.shrunk {
		return nil
	}
	return []Change{{
		Verb: "shrink", What: "the bounds of all streams and buckets",
		How: fmt.Sprintf("to a store of %d MB, as NATS has no room for %d MB; queues hold less before those wait who fill them "+
			"(--nats-max-store)", s.bytes/1e6, contract.FullStore/int64(1e6)),
		apply: func(context.Context) error { return nil },
	}}
}

// noRoom says what to do where the bounds do not fit.
func (s storeSize) noRoom(err error) error {
	text := fmt.Sprintf("the bounds of all streams come to %d MB: give NATS more disk (max_file_store, or the account's limit)",
		contract.Bounds(s.bytes)/1e6)
	if s.bytes > contract.MinStore {
		text += ", or say how much it may take (--nats-max-store, 1GB at least), and they shrink in proportion"
	}
	return fmt.Errorf("%w: %s", err, text)
}

// intakeOf is the stream by which an installation is known; nil if there is none.
func intakeOf(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, error) {
	s, err := js.Stream(ctx, contract.StreamIntake)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, fmt.Errorf("provision stream %s: %w", contract.StreamIntake, err)
	}
	return s, nil
}
