package console

import (
	"cmp"
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

// relayColumns and recordColumns are those by which the lists can be sorted.
var (
	relayColumns  = []string{"url", "health", "latency", "stored", "missing", "synced"}
	recordColumns = []string{"holders", "due"}
)

// How the local relay has been compared with relays.
const (
	proofLive     = "live"     // they answered when last asked
	proofProved   = "proved"   // of them, those that the local relay was proved complete with
	proofUnproved = "unproved" // of them, the others
	proofMissing  = "missing"  // they have shown events in their last sync that the local relay lacks
)

var proofOrder = []string{proofLive, proofProved, proofUnproved, proofMissing}

// proofs counts relays by that.
func proofs(s Summary) []Choice {
	return choices(proofOrder, map[string]int{
		proofLive: s.Proved.Live, proofProved: s.Proved.Complete, proofUnproved: s.Proved.Unproved(), proofMissing: s.Lacking,
	})
}

// hasProof reports whether a relay is of those, of all ("") each is.
func (f *facts) hasProof(key, proof string, now int64) bool {
	live, proved := f.live(key, now)
	switch proof {
	case proofLive:
		return live
	case proofProved:
		return proved
	case proofUnproved:
		return live && !proved
	case proofMissing:
		return f.syncs[key].missing > 0
	}
	return true
}

// relaysIn finds the keys of all relays of a health, or of all (""), with such a proof, in an order.
func (c *counter) relaysIn(state, proof string, by sorting) []string {
	now := time.Now().Unix()
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.facts
	var keys []string
	rank := map[string]int{}
	for key := range f.relays {
		health := f.health(key, now)
		if (state == "" || state == health) && f.hasProof(key, proof, now) {
			keys = append(keys, key)
			rank[key] = slices.Index(healthOrder, health)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		order := 0
		switch by.column() {
		case "health":
			order = cmp.Compare(rank[a], rank[b])
		case "latency":
			order = cmp.Compare(f.relays[a].latency, f.relays[b].latency)
		case "stored":
			order = cmp.Compare(f.syncs[a].stored, f.syncs[b].stored)
		case "missing":
			order = cmp.Compare(f.syncs[a].missing, f.syncs[b].missing)
		case "synced":
			order = cmp.Compare(f.syncs[a].tried, f.syncs[b].tried)
		case "url":
			order = cmp.Compare(f.relays[a].url, f.relays[b].url)
		}
		return cmp.Or(by.compare(order), cmp.Compare(a, b))
	})
	return keys
}

// recordsIn finds the keys of all records in a state, or in all (""), of one slice or of all
// (""), in an order.
func (c *counter) recordsIn(state, slice string, by sorting) []string {
	now := time.Now().Unix()
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.facts
	var list [][20]byte
	for target, r := range f.records {
		if (state == "" || r.state(now) == state) && (slice == "" || hex.EncodeToString(target[:1]) == slice) {
			list = append(list, target)
		}
	}
	slices.SortFunc(list, func(a, b [20]byte) int {
		order := 0
		switch by.column() {
		case "holders":
			order = cmp.Compare(f.records[a].held, f.records[b].held)
		case "due":
			order = cmp.Compare(f.records[a].due, f.records[b].due)
		}
		return cmp.Or(by.compare(order), slices.Compare(a[:], b[:]))
	})
	keys := make([]string, len(list))
	for i, target := range list {
		keys[i] = contract.RecordKey(hex.EncodeToString(target[:]))
	}
	return keys
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
