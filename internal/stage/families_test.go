package stage

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// relays is bucket relays in memory, which counts how often it is read.
type relays struct {
	values map[string]contract.Relay
	reads  int
}

func (r *relays) Get(_ context.Context, key string) (contract.Relay, bool, error) {
	r.reads++
	v, ok := r.values[key]
	return v, ok, nil
}

func (r *relays) Update(context.Context, string, func(contract.Relay, bool) (contract.Relay, bool)) (v contract.Relay, err error) {
	panic("not used")
}

func (r *relays) Remove(_ context.Context, key string, may func(contract.Relay) bool) (bool, error) {
	if !may(r.values[key]) {
		return false, nil
	}
	delete(r.values, key)
	return true, nil
}

func (r *relays) Each(_ context.Context, _ string, f func(string, contract.Relay) error) error {
	for key, v := range r.values {
		if err := f(key, v); err != nil {
			return err
		}
	}
	return nil
}

// A flood of paths of a host that has as many relays as it may costs a look at all
// of these once a minute, and room that is made later is found.
func TestAFullHostIsLookedAtOnceAMinute(t *testing.T) {
	kept := &relays{values: map[string]contract.Relay{}}
	var f Families
	now := time.Now().Unix()
	path := func(i int) string { return fmt.Sprint("wss://relay.hostile.test/", i) }
	admit := func(i int) bool {
		t.Helper()
		ok, err := f.Admit(t.Context(), kept, path(i), now)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			kept.values[nostr.RelayKey(path(i))] = contract.Relay{URL: path(i), Answered: now}
		}
		return ok
	}
	admitted := 0
	for i := range 2000 {
		if admit(i) {
			admitted++
		}
	}
	if admitted != hosts.MaxURLs || kept.reads > 2*hosts.MaxURLs {
		t.Errorf("%d of 2000 paths are kept, by %d reads", admitted, kept.reads)
	}
	kept.values[nostr.RelayKey(path(0))] = contract.Relay{URL: path(0), ProbeFailures: 3}
	if now += 61; !admit(3000) {
		t.Error("a relay that never answered makes no room")
	}
	admit(3001) // there is none again
	if now -= 365 * 24 * 3600; admit(3002) {
		t.Error("there is room for one too many")
	}
	before := kept.reads
	if now -= 365 * 24 * 3600; admit(3003) || kept.reads == before {
		t.Error("after a clock was ahead the host counts as full unseen")
	}
}
