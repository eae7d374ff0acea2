package demo

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestExpected(t *testing.T) {
	alice, bob := strings.Repeat("a", 64), strings.Repeat("b", 64)
	all := []nostr.Event{
		{ID: "note", PubKey: alice, Kind: 1, CreatedAt: 10},
		{ID: "deleted", PubKey: alice, Kind: 1, CreatedAt: 10},
		{ID: "not bob's to delete", PubKey: alice, Kind: 1, CreatedAt: 10},
		{ID: "old profile", PubKey: alice, Kind: 0, CreatedAt: 10},
		{ID: "new profile", PubKey: alice, Kind: 0, CreatedAt: 11},
		{ID: "other's profile", PubKey: bob, Kind: 0, CreatedAt: 9},
		{ID: "tie, higher id", PubKey: bob, Kind: 3, CreatedAt: 9},
		{ID: "a tie", PubKey: bob, Kind: 3, CreatedAt: 9},
		{ID: "article d=1", PubKey: bob, Kind: 30023, CreatedAt: 9, Tags: []nostr.Tag{{"d", "1"}}},
		{ID: "article d=2", PubKey: bob, Kind: 30023, CreatedAt: 9, Tags: []nostr.Tag{{"d", "2"}}},
		{ID: "ephemeral", PubKey: bob, Kind: 20001},
		{ID: "message", PubKey: bob, Kind: 4, Tags: []nostr.Tag{{"p", alice}}},
		{ID: "protected", PubKey: bob, Kind: 1, Tags: []nostr.Tag{{"-"}}},
		{ID: "expired", PubKey: bob, Kind: 1, Tags: []nostr.Tag{{"expiration", "100"}}},
		{ID: "expires later", PubKey: bob, Kind: 1, Tags: []nostr.Tag{{"expiration", "101"}}},
		{ID: "deletion", PubKey: alice, Kind: 5, CreatedAt: 9, Tags: []nostr.Tag{{"e", "deleted"}, {"e", "deletion"}}},
		{ID: "vain deletion", PubKey: bob, Kind: 5, CreatedAt: 12, Tags: []nostr.Tag{{"e", "not bob's to delete"}, {"a", "30023:" + bob + ":2"}}},
	}
	want := []string{
		"a tie", "article d=1", "deletion", "expires later", "new profile", "not bob's to delete", "note", "other's profile", "vain deletion",
	}
	if got := slices.Sorted(maps.Keys(expected(all, 100))); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
