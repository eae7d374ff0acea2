package fetch

import (
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// An id does not say whose message its event is: a private one is not written to
// the local relay, and so not shown.
func TestPrivateEventsAreNotWritten(t *testing.T) {
	s := &Stage{Local: "ws://127.0.0.1:1", Now: time.Now} // whose ports would panic
	for _, kind := range []int{4, 13, 14, 15, 1059, 1060, 21059} {
		why, err := s.land(t.Context(), reply{url: "wss://relay.example.com", event: &nostr.Event{Kind: kind}})
		if err != nil || !strings.HasSuffix(why, "private") {
			t.Errorf("kind %d: %q, %v", kind, why, err)
		}
	}
}
