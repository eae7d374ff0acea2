// Package memkv gives tests and benchmarks buckets in memory, where those of NATS are not
// the subject.
package memkv

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bucket holds values by key, as the ports of the stages want it. Its methods may be called
// concurrently; Of is for whoever is alone with it.
type Bucket[T any] struct {
	mu sync.Mutex
	Of map[string]T
}

// New returns an empty bucket.
func New[T any]() *Bucket[T] { return &Bucket[T]{Of: map[string]T{}} }

// Get returns the value of a key, and whether there is one.
func (b *Bucket[T]) Get(_ context.Context, key string) (T, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, found := b.Of[key]
	return v, found, nil
}

// Update replaces a value by what change makes of it, if that is to be written, and
// returns the value that there is then.
func (b *Bucket[T]) Update(_ context.Context, key string, change func(old T, found bool) (T, bool)) (T, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, found := b.Of[key]
	next, write := change(old, found)
	if !write {
		return old, nil
	}
	b.Of[key] = next
	return next, nil
}

// Remove removes a value if decide says so, and reports whether it did.
func (b *Bucket[T]) Remove(_ context.Context, key string, decide func(T) bool) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, found := b.Of[key]
	if found = found && decide(v); found {
		delete(b.Of, key)
	}
	return found, nil
}

// Each calls f with the values whose keys match a pattern, in the order of the keys; * is
// any part of one. f may use the bucket.
func (b *Bucket[T]) Each(_ context.Context, pattern string, f func(key string, v T) error) error {
	found := map[string]T{}
	matches := matcher(pattern)
	b.mu.Lock()
	for key, v := range b.Of {
		if matches(key) {
			found[key] = v
		}
	}
	b.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(found)) {
		if err := f(key, found[key]); err != nil {
			return err
		}
	}
	return nil
}

// matcher reports for a key whether it matches a pattern. The patterns that stages use most take no
// [path.Match], which benchmarks of many authors would spend their time on.
func matcher(pattern string) func(key string) bool {
	first, last, _ := strings.Cut(pattern, "*")
	if strings.ContainsAny(first+last, `*?[\\`) || !strings.Contains(pattern, "*") {
		return func(key string) bool { ok, _ := path.Match(pattern, key); return ok }
	}
	return func(key string) bool {
		return len(key) >= len(first)+len(last) && strings.HasPrefix(key, first) && strings.HasSuffix(key, last)
	}
}

// Add puts a value where there is none, and reports whether it did. It does not expire.
func (b *Bucket[T]) Add(_ context.Context, key string, v T, _ time.Duration) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, found := b.Of[key]
	if !found {
		b.Of[key] = v
	}
	return !found, nil
}
