package relay

import (
	"errors"
	"fmt"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// What can go wrong with a connection, besides the errors of package reconcile.
var (
	// ErrConnClosed: the connection ended, and not since the relay misbehaves; the
	// error says why.
	ErrConnClosed = reconcile.Interrupted(errors.New("connection closed"))
	// ErrSlowConsumer: the events of a subscription were not taken in time, so
	// it was closed; the connection lives. Events received before were
	// delivered, later ones must be asked for again.
	ErrSlowConsumer = errors.New("events were not taken in time")
)

// dialError says that there is no connection to a relay.
type dialError struct {
	url string
	err error
}

func (e *dialError) Error() string {
	return named{e.url, fmt.Errorf("no connection: %w", e.err)}.Error()
}

func (e *dialError) Unwrap() error { return e.err }
