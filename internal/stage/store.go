package stage

import (
	"context"
	"time"
)

// Store is one KV bucket of values of type T.
//
// Update reads the value, lets change decide on the new one and writes it only
// if nobody else wrote meanwhile; a lost race reads and decides again, so
// change may run several times and must be pure. It returns the value that is
// stored in the end. Remove deletes a key if decide agrees, by the same rules.
// Each calls f for every key that matches a pattern with wildcards, in no
// order, until f returns an error. All errors are worth a retry.
//
// In a cluster any copy of the bucket answers Get and Each, also one that lags
// behind the one that took the last write: what they do not show may be there.
// Update and Remove decide on a lagging value again, but not if they leave it.
type Store[T any] interface {
	Get(ctx context.Context, key string) (value T, found bool, err error)
	Update(ctx context.Context, key string, change func(old T, found bool) (value T, write bool)) (T, error)
	Remove(ctx context.Context, key string, decide func(old T) bool) (removed bool, err error)
	Each(ctx context.Context, pattern string, f func(key string, value T) error) error
}

// A handler that finds less in a [Store] than its message stands for comes back
// after StaleAfter, twice as long each time, and believes it in the attempt
// StaleAttempts: half a minute later.
const (
	StaleAfter    = time.Second
	StaleAttempts = 6
)
