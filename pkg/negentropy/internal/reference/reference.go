// Package reference holds the switch that makes negentropy repeat what the
// reference implementation does when a message overflows its frame limit, so
// that conformance tests can compare such messages byte for byte. Differences
// can then be lost: nothing but tests and the conformance harness turns it on.
package reference

import "sync/atomic"

// Overflow is read whenever a reconciler is made.
var Overflow atomic.Bool
