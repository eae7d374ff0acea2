package stage

import (
	"fmt"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

var (
	alice = strings.Repeat("a1", 32)
	bob   = strings.Repeat("b0", 32)
	carol = strings.Repeat("c4", 32)
	id1   = strings.Repeat("01", 32)
	id2   = strings.Repeat("02", 32)
)

func TestReferences(t *testing.T) {
	address := "30023:" + bob + ":slug"
	for name, tc := range map[string]struct {
		kind int
		tags []nostr.Tag
		want []events.NoteMissing
	}{
		"marked with author": {
			1,
			[]nostr.Tag{{"e", id1, "wss://hint.example/", "root", bob}},
			[]events.NoteMissing{{EventID: id1, AuthorPubkey: bob, Relays: []string{"wss://hint.example"}}},
		},
		"author as fourth": {1, []nostr.Tag{{"e", id1, "", carol}, {"p", bob}}, []events.NoteMissing{{EventID: id1, AuthorPubkey: carol}}},
		"positional": {
			1,
			[]nostr.Tag{{"e", id1}, {"e", id2}, {"p", bob}},
			[]events.NoteMissing{{EventID: id1, AuthorPubkey: bob}, {EventID: id2, AuthorPubkey: bob}},
		},
		"hornets reply": {1808, []nostr.Tag{{"e", id1, "reply"}, {"p", bob}}, []events.NoteMissing{{EventID: id1, AuthorPubkey: bob}}},
		"two authors":   {1, []nostr.Tag{{"e", id1}, {"p", bob}, {"p", carol}}, []events.NoteMissing{{EventID: id1}}},
		"quote": {
			1,
			[]nostr.Tag{{"q", id1, "wss://hint.example", bob}},
			[]events.NoteMissing{{EventID: id1, AuthorPubkey: bob, Relays: []string{"wss://hint.example"}}},
		},
		"quoted address": {1, []nostr.Tag{{"q", address}}, []events.NoteMissing{{Address: address, AuthorPubkey: bob}}},
		"address":        {1111, []nostr.Tag{{"a", address, "ws://127.0.0.1"}}, []events.NoteMissing{{Address: address, AuthorPubkey: bob}}},
		"once":           {1, []nostr.Tag{{"e", id1}, {"q", id1}}, []events.NoteMissing{{EventID: id1}}},
		"nonsense":       {1, []nostr.Tag{{"e", "x"}, {"e"}, {"a", "1:x:y"}, {"q"}}, nil},
		"reactions":      {7, []nostr.Tag{{"e", id1}}, nil},
		"deletions":      {5, []nostr.Tag{{"e", id1}}, nil},
	} {
		e := nostr.Event{ID: strings.Repeat("ee", 32), PubKey: alice, Kind: tc.kind, Tags: tc.tags}
		for i := range tc.want {
			tc.want[i].ReferencedBy = e.ID
		}
		if got := References(&e, false); fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func TestReferencesAreBounded(t *testing.T) {
	e := nostr.Event{Kind: 1}
	for i := range 1000 {
		e.Tags = append(e.Tags, nostr.Tag{"e", fmt.Sprintf("%064x", i)})
	}
	if got := References(&e, false); len(got) != maxRefs {
		t.Errorf("%d references are followed, want %d", len(got), maxRefs)
	}
}
