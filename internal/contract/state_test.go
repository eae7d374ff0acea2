package contract

import (
	"slices"
	"testing"
)

func TestAnAuthorsOwnListsAreReadInTheOrderOfTheirWeight(t *testing.T) {
	a := Author{Lists: map[string]List{
		ViaNIP78: {Write: []string{"c", "a"}}, ViaDHT: {Write: []string{"b"}}, ViaNIP65: {Write: []string{"a"}, Read: []string{"d"}},
	}}
	if got := a.WriteRelays(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("got %v", got)
	}
}
