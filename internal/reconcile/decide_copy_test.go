package reconcile

import (
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestMayCopy(t *testing.T) {
	for _, tc := range []struct {
		e   nostr.Event
		why Code
	}{
		{nostr.Event{Kind: 1, CreatedAt: 1000, Tags: []nostr.Tag{{"expiration", "1001"}}}, ""},
		{nostr.Event{Kind: 1, Tags: []nostr.Tag{{"expiration"}}}, ""},
		{nostr.Event{Kind: 1, Tags: []nostr.Tag{{"expiration", "1000"}}}, "expired (NIP-40)"},
		{nostr.Event{Kind: 1, Tags: []nostr.Tag{{"-"}}}, "protected (NIP-70)"},
		{nostr.Event{Kind: 1, CreatedAt: 1000 + nostr.MaxFuture}, ""},
		{nostr.Event{Kind: 1, CreatedAt: 1001 + nostr.MaxFuture}, "from the future"},
		{nostr.Event{Kind: 20001}, "ephemeral"},
		{nostr.Event{Kind: nostr.KindAuth}, "ephemeral"},
	} {
		if why := MayCopy(&tc.e, 1000); why != tc.why {
			t.Errorf("%+v: %q, want %q", tc.e, why, tc.why)
		}
	}
}
