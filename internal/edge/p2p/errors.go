package p2p

import (
	"errors"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// busy is what a peer is told that has too many sessions with us.
const busy = "too many sessions"

// interrupted marks what a new stream may put right.
func interrupted(err error) error {
	if err == nil || errors.Is(err, reconcile.ErrMisbehaving) || errors.Is(err, reconcile.ErrInterrupted) || reconcile.RefusalOf(err) != nil {
		return err
	}
	return reconcile.Interrupted(cutOff(err))
}
