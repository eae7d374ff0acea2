package console

import (
	"context"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
)

// Choice is a state by which a list can be filtered, with how many are in it over all.
type Choice struct {
	State string `json:"state"`
	Count int    `json:"count"`
}

// choices counts states in an order; those that nothing is in are left out.
func choices(order []string, counts map[string]int) (list []Choice) {
	for _, state := range order {
		if n := counts[state]; n > 0 {
			list = append(list, Choice{state, n})
		}
	}
	return list
}

// chosen reads the state that a page is filtered by; "" is none.
func chosen(r *http.Request, name string, order []string) (string, error) {
	state := r.URL.Query().Get(name)
	if state != "" && !slices.Contains(order, state) {
		return "", &pageError{http.StatusBadRequest, name + ": want one of " + strings.Join(order, ", ")}
	}
	return state, nil
}

// keysIn finds the keys of all values in a state, sorted.
func keysIn[K comparable, F any](m map[K]F, in func(K, F) bool, name func(K) string) []string {
	var keys []string
	for k, f := range m {
		if in(k, f) {
			keys = append(keys, name(k))
		}
	}
	slices.Sort(keys)
	return keys
}

// relaysIn finds the keys of all relays of a health, sorted.
func (c *counter) relaysIn(state string) []string {
	now := time.Now().Unix()
	c.mu.Lock()
	defer c.mu.Unlock()
	return keysIn(c.facts.relays, func(key string, _ relayFacts) bool { return c.facts.health(key, now) == state },
		func(key string) string { return key })
}

// recordsIn finds the keys of all records in a state, of one slice or of all ("").
func (c *counter) recordsIn(state, slice string) []string {
	now := time.Now().Unix()
	c.mu.Lock()
	defer c.mu.Unlock()
	return keysIn(c.facts.records, func(target [20]byte, r recordFacts) bool {
		return r.state(now) == state && (slice == "" || hex.EncodeToString(target[:1]) == slice)
	}, func(target [20]byte) string { return contract.RecordKey(hex.EncodeToString(target[:])) })
}

// pageOf reads the values of a part of the keys. What was removed meanwhile is left out.
func pageOf[T any](ctx context.Context, bucket *kv.Bucket[T], keys []string, from uint64) (page kv.Page[T], err error) {
	total := uint64(len(keys))
	begin, end := min(from, total), min(from+perPage, total)
	if end < total {
		page.Next, page.Left = end, total-end
	}
	values, err := bucket.GetAll(ctx, keys[begin:end])
	if err != nil {
		return page, err
	}
	for _, key := range keys[begin:end] {
		if value, exists := values[key]; exists {
			page.Entries = append(page.Entries, kv.Entry[T]{Key: key, Value: value})
		}
	}
	return page, nil
}
