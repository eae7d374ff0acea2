package natsd

import "github.com/relaymesh/relaymesh/internal/contract"

// storeStep is the step in which a small store grows with its disk, in bytes, so that
// bounds do not change with every start.
const storeStep = 500_000_000

// decideStore returns how many bytes a store may take. wanted is what the operator
// says, 0 for nothing, and before what it was at the last start, 0 at the first. Else
// it is three quarters of what is free on the disk or taken by the store itself. By
// itself it never shrinks: what is there was made for it, and the server refuses
// every change once the bounds do not fit.
func decideStore(wanted, before, free, taken int64) int64 {
	if wanted > 0 {
		return wanted
	}
	room := (free + taken) / 4 * 3
	if room < contract.FullStore {
		room = room / storeStep * storeStep
	}
	return max(room, before, contract.MinStore)
}
