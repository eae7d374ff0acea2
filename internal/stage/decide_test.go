package stage

import (
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestAnEventThatGrowsTooLargeIsNotHandedOn(t *testing.T) {
	for content, want := range map[string]bool{"a": true, "<": true, "\x01": false} {
		out, ok := Received(nostr.Event{ID: "id", Content: strings.Repeat(content, 200<<10)})
		if ok != want || out.ID != "id" || out.Subject != events.SubjectEventReceived {
			t.Errorf("%q: %t, want %t", content, ok, want)
		}
	}
}

func TestBackoffDoublesUpToItsBoundAndIsSpread(t *testing.T) {
	for n, want := range map[int]time.Duration{1: time.Minute, 2: 2 * time.Minute, 4: 8 * time.Minute, 5: 10 * time.Minute, 100: 10 * time.Minute} {
		if got := Backoff(n, time.Minute, 10*time.Minute, 0.5); got != want {
			t.Errorf("after %d failures %s, want %s", n, got, want)
		}
	}
	if a, b := Backoff(1, time.Minute, time.Hour, 0), Backoff(1, time.Minute, time.Hour, 1); a != 45*time.Second || b != 75*time.Second {
		t.Errorf("from %s to %s, want a quarter to either side", a, b)
	}
}
