package fetch

import (
	"slices"
	"strconv"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/events"
)

func TestCandidatesInTheOrderOfLikelySuccess(t *testing.T) {
	author := events.Author{Lists: map[string]events.List{
		events.ViaDHT:   {Write: []string{"dht", "both"}},
		events.ViaNIP65: {Write: []string{"both", "nip65"}, Read: []string{"inbox"}},
	}}
	n := events.NoteMissing{Relays: []string{"hint1", "hint2", "hint3"}}
	got := candidates(n, author, []string{"z", "hint1", "local", "a"}, "local")
	want := []string{"hint1", "hint2", "both", "nip65", "dht", "hint3", "a", "z"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCandidatesAreBounded(t *testing.T) {
	var linked []string
	for i := range 1000 {
		linked = append(linked, strconv.Itoa(i))
	}
	if got := candidates(events.NoteMissing{}, events.Author{}, linked, ""); len(got) != maxRelays {
		t.Errorf("%d relays, want %d", len(got), maxRelays)
	}
}
