package ingest

import (
	"maps"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A producer's word counts where only deliveries speak for a relay, and is one word beside
// those of lists and claims.
func TestAHintStandsBesideDeliveries(t *testing.T) {
	const url = "wss://a.example"
	for name, c := range map[string]struct{ before, want map[string]int64 }{
		"nothing is known":   {nil, map[string]int64{contract.ViaHint: 0}},
		"the relay delivers": {map[string]int64{contract.ViaDelivered: 9}, map[string]int64{contract.ViaDelivered: 9, contract.ViaHint: 0}},
		"a claim is known":   {map[string]int64{contract.ViaClaim: 9}, map[string]int64{contract.ViaClaim: 9}},
		"both": {
			map[string]int64{contract.ViaClaim: 9, contract.ViaDelivered: 9}, map[string]int64{contract.ViaClaim: 9, contract.ViaDelivered: 9},
		},
	} {
		b, key := newBench(t, Policy{}), contract.LinkKey(nostr.RelayKey(url), alice)
		links := &memory[contract.Link]{values: map[string]contract.Link{}}
		b.Links = links
		if c.before != nil {
			links.values[key] = contract.Link{URL: url, Via: maps.Clone(c.before), Delivered: 3}
		}
		b.deliver(contract.Message{
			Subject: events.SubjectRelayDiscovered, Data: nostr.Encode(events.RelayDiscovered{URL: url, Authors: []string{alice}}), Attempt: 1,
		})
		if got := links.values[key]; !maps.Equal(got.Via, c.want) || (got.Delivered != 0) != (c.before != nil) {
			t.Errorf("%s: %+v, want evidence %v", name, got, c.want)
		}
	}
}
