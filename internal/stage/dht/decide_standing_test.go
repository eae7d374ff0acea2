package dht

import (
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
)

func TestTheListThatStandsAnswersALookUp(t *testing.T) {
	one, two := []string{"wss://one.example"}, []string{"wss://two.example"}
	id := strings.Repeat("01", 32)
	for name, tc := range map[string]struct {
		list contract.List
		want string // the relay, or what Why says
	}{
		"no list":                      {contract.List{}, one[0]},
		"the same":                     {contract.List{Version: 7, Key: "k", ID: id, Write: one}, one[0]},
		"an older one":                 {contract.List{Version: 6, Key: "k", ID: id, Write: two}, one[0]},
		"a newer one":                  {contract.List{Version: 8, Key: "k", ID: id, Write: two}, two[0]},
		"a newer one of no use":        {contract.List{Version: 8, Key: "k", ID: id}, "names no relay"},
		"a newer one of another key":   {contract.List{Version: 8, Key: "l", ID: id, Write: two}, one[0]},
		"the same, ended":              {contract.List{Version: 7, Key: "k"}, "deleted"},
		"a newer one, ended":           {contract.List{Version: 8, Key: "k"}, "deleted"},
		"an older one, ended":          {contract.List{Version: 6, Key: "k"}, one[0]},
		"one of another key, ended":    {contract.List{Version: 7, Key: "l"}, one[0]},
		"the same, of no use any more": {contract.List{Version: 7, Key: "k", ID: id}, one[0]},
	} {
		got := standing(events.ResolveResponse{DHTKey: "k", Seq: 7, Relays: one, Found: true, Value: []byte("v")}, tc.list)
		said := got.Why
		if got.Found {
			said = got.Relays[0]
		}
		if !strings.Contains(said, tc.want) || got.Found != (len(got.Relays) > 0) {
			t.Errorf("%s: %+v, want %s", name, got, tc.want)
		}
	}
	none := events.ResolveResponse{DHTKey: "k", Why: "no node has a record under the key"}
	if got := standing(none, contract.List{Version: 7, Key: "k", ID: id, Write: one}); got.Found || got.Why != none.Why {
		t.Errorf("what no node has is answered: %+v", got)
	}
}
