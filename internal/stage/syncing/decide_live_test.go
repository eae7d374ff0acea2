package syncing

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// follow asks for slots in turn, and returns who has one in the end.
func follow(most int, claims ...claim) (held map[string]claim) {
	held = map[string]claim{}
	for i, c := range claims {
		key := fmt.Sprint(c.host, " ", i)
		if out, ok := admitLive(held, key, c, most); ok {
			delete(held, out)
			held[key] = c
		}
	}
	return held
}

func count(held map[string]claim, is func(claim) bool) (n int) {
	for c := range maps.Values(held) {
		if is(c) {
			n++
		}
	}
	return n
}

func TestLiveSlotsAreSharedOutByHost(t *testing.T) {
	proven := func(c claim) bool { return c.proven }
	evil := func(c claim) bool { return c.host == "evil" }
	var strangers, own, one []claim
	for i := range 100 {
		strangers = append(strangers, claim{host: fmt.Sprint("stranger ", i), weight: 10_000})
		own = append(own, claim{host: "proven", proven: true, weight: float64(i)})
		one = append(one, claim{host: "evil", weight: 10_000})
	}
	if held := follow(16, one...); len(held) != maxLiveOfHost {
		t.Errorf("one host has %d slots, want %d", len(held), maxLiveOfHost)
	}
	if held := follow(16, strangers...); len(held) != 12 {
		t.Errorf("strangers have %d slots, want three quarters", len(held))
	}
	// Authors that anybody can make take no slot from those who came before.
	if held := follow(4, append([]claim{{host: "honest", weight: 1}}, strangers...)...); held["honest 0"].host == "" {
		t.Error("relays with more authors took the slot of one that is as unknown")
	}
	// A host that has several gives way to one that has none.
	held := follow(4, claim{host: "evil"}, claim{host: "evil"}, claim{host: "other"}, claim{host: "honest"})
	if count(held, evil) != 1 || held["honest 3"].host == "" {
		t.Errorf("held are %v", held)
	}
	held = follow(16, append(strangers, own...)...)
	if n := count(held, proven); n != 12 || len(held) != 16 {
		t.Errorf("proven relays have %d of %d slots while they want all, want 12 of 16", n, len(held))
	}
	for _, c := range held {
		if c.proven && c.weight < 88 {
			t.Errorf("a relay of weight %.0f is followed, and one of more is not", c.weight)
		}
	}
	if held = follow(16, append(own, strangers...)...); count(held, proven) != 16 {
		t.Errorf("strangers took %d slots from proven relays", 16-count(held, proven))
	}
	if held = follow(1, append(own[:1:1], strangers...)...); count(held, proven) != 1 {
		t.Error("a stranger took the only slot")
	}
}

// kept is bucket refused, which remembers what was added.
type kept map[string]bool

func (k kept) Each(context.Context, string, func(string, contract.Refused) error) error { return nil }

func (k kept) Add(_ context.Context, key string, _ contract.Refused, _ time.Duration) (bool, error) {
	k[key] = true
	return true, nil
}

// relayOf is bucket relays with one relay.
type relayOf struct {
	stage.Store[contract.Relay]
	value contract.Relay
}

func (r relayOf) Get(context.Context, string) (contract.Relay, bool, error) {
	return r.value, true, nil
}

// All relays of a host that has proved nothing have as much of what is remembered
// as one that has.
func TestRefusedMemoryIsSharedOutByHost(t *testing.T) {
	for _, c := range []struct {
		relay contract.Relay
		most  int
	}{
		{contract.Relay{}, 50_000 / hosts.MaxURLs},
		{contract.Relay{Via: contract.ViaManual}, 50_000},
		{contract.Relay{Delivered: time.Now().Unix()}, 50_000},
	} {
		remembered := kept{}
		s := &Stage{Refused: remembered, Relays: relayOf{value: c.relay}, Rules: func(string) []Rule { return nil }, Now: time.Now}
		m, err := s.recall(t.Context(), "wss://relay.example.com")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50_100 {
			id := negentropy.ID{byte(i), byte(i >> 8), byte(i >> 16)}
			m.add(t.Context(), reconcile.Refusal{ID: id, Reason: reconcile.ParseReason("blocked: no")})
		}
		if len(remembered) != c.most {
			t.Errorf("of %+v %d refusals are remembered, want %d", c.relay, len(remembered), c.most)
		}
	}
}
