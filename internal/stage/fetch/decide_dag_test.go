//go:build scionic

package fetch

import (
	"fmt"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
)

func TestADAGIsLookedForWhereItsAuthorWrites(t *testing.T) {
	author := contract.Author{Lists: map[string]contract.List{
		contract.ViaNIP78: {Write: []string{"wss://c.example", "wss://a.example"}},
		contract.ViaDHT:   {Write: []string{"wss://b.example"}},
		contract.ViaNIP65: {Write: []string{"wss://a.example"}, Read: []string{"wss://r.example"}},
	}}
	if got := DAGRelays(author); !slices.Equal(got, []string{"wss://a.example", "wss://b.example", "wss://c.example"}) {
		t.Errorf("%v", got)
	}
	var many []string
	for i := range 20 {
		many = append(many, fmt.Sprintf("wss://%d.example", i))
	}
	author.Lists[contract.ViaNIP65] = contract.List{Write: many}
	if got := DAGRelays(author); !slices.Equal(got, many[:maxDAGRelays]) {
		t.Errorf("%v", got)
	}
}
