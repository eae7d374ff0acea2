package fetch

import (
	"strings"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What an answer carries besides the note it is about, in bytes: the events of
// the thread together, and each reason. With the note they stay below NATS's
// limit of 1 MiB on a message.
const (
	maxThreadBytes = 384 << 10
	maxThreadWhy   = 500
)

// fit makes an answer part of a thread that already carries so many bytes of
// events, without its event if that does not fit, and returns how many it
// carries then.
func fit(a events.MissingNoteResponse, carried int) (events.MissingNoteResponse, int) {
	if len(a.Why) > maxThreadWhy {
		a.Why = strings.ToValidUTF8(a.Why[:maxThreadWhy], "") + "…"
	}
	if a.Event == nil {
		return a, carried
	}
	size := len(nostr.Encode(a.Event))
	if carried+size > maxThreadBytes {
		a.Event, a.Why = nil, "found, but too large for this answer: ask for it alone"
		return a, carried
	}
	return a, carried + size
}
