package pair

import (
	"slices"
	"strconv"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/events"
)

const kindAuth = 22242 // NIP-42: never leaves the connection it was made for

// private are the kinds that are meant for the relays of their recipients
// alone: direct messages (NIP-04), seals and gift wraps (NIP-59, NIP-17).
var private = []int{4, 13, 14, 15, 1059, 1060}

// keep decides whether an event may be written to another relay. why names the
// rule that forbids it.
func keep(e *events.Event, now int64) (why string) {
	switch {
	case events.Ephemeral(e.Kind) || e.Kind == kindAuth:
		return "ephemeral"
	case e.CreatedAt > now+events.MaxFuture:
		return "from the future"
	case e.Tag("-") != nil:
		return "protected (NIP-70)"
	case expired(e, now):
		return "expired (NIP-40)"
	}
	return ""
}

// upload decides whether an event may be written to a relay that is not ours.
// Deletions (NIP-09) travel like any event: they are what makes both sides
// forget.
func upload(e *events.Event, now int64, privateToo bool) (why string) {
	if why := keep(e, now); why != "" {
		return why
	}
	if !privateToo && slices.Contains(private, e.Kind) {
		return "private"
	}
	return ""
}

func expired(e *events.Event, now int64) bool {
	t := e.Tag("expiration")
	if t == nil {
		return false
	}
	at, err := strconv.ParseInt(t.At(1), 10, 64)
	return err == nil && at <= now
}

// passing decides whether a refusal is about the moment and not the event.
func passing(reason string) bool {
	return strings.HasPrefix(reason, "rate-limited:") || strings.HasPrefix(reason, "error:")
}
