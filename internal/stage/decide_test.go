package stage

import (
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestAnEventThatGrowsTooLargeIsNotHandedOn(t *testing.T) {
	for content, want := range map[string]bool{"a": true, "<": true, "\x01": false} {
		out, ok := Received(nostr.Event{ID: "id", Content: strings.Repeat(content, 200<<10)})
		if ok != want || out.ID != "" || out.Subject != events.SubjectEventReceived {
			t.Errorf("%q: %t, want %t", content, ok, want)
		}
	}
}
