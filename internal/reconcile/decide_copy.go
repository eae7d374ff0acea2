package reconcile

import (
	"strconv"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const kindAuth = 22242 // NIP-42: never leaves the connection it was made for

// MayCopy decides whether an event that one relay holds may be written to
// another at now (Unix seconds). It returns the rule that forbids it, or "".
func MayCopy(e *nostr.Event, now int64) (why string) {
	switch {
	case nostr.Ephemeral(e.Kind) || e.Kind == kindAuth:
		return "ephemeral"
	case e.CreatedAt > now+nostr.MaxFuture:
		return "from the future"
	case e.Tag("-") != nil:
		return "protected (NIP-70)"
	case expired(e, now):
		return "expired (NIP-40)"
	}
	return ""
}

// Passing decides whether a relay's reason to refuse an event is about the
// moment and not the event.
func Passing(reason string) bool {
	return strings.HasPrefix(reason, "rate-limited:") || strings.HasPrefix(reason, "error:")
}

func expired(e *nostr.Event, now int64) bool {
	t := e.Tag("expiration")
	if t == nil {
		return false
	}
	at, err := strconv.ParseInt(t.At(1), 10, 64)
	return err == nil && at <= now
}
