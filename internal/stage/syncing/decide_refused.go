package syncing

import (
	"strings"
	"time"
)

// keepFor decides how long it is remembered that an event was refused for a
// reason, in the words of a relay or of our rules. What is about the event
// itself stays true; what is a relay's policy may change.
func keepFor(why string) time.Duration {
	const day = 24 * time.Hour
	prefix, _, _ := strings.Cut(strings.ToLower(why), ":")
	switch {
	case why == fromTheFuture:
		return time.Hour
	case prefix == "invalid", prefix == "replaced", prefix == "pow", why == deletedByAuthor,
		strings.HasPrefix(why, "protected"), strings.HasPrefix(why, "expired"), why == "ephemeral", why == "private":
		return 30 * day
	case prefix == "blocked", prefix == "restricted", prefix == "auth-required":
		return day
	}
	return 7 * day
}

const (
	fromTheFuture = "from the future" // the rule's name, see reconcile.MayCopy
	// deletedByAuthor is the reason for an event that its author wants to be gone.
	deletedByAuthor = "deleted by its author (NIP-09, NIP-62)"
)
