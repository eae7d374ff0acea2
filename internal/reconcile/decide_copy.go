package reconcile

import (
	"strconv"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// MayCopy decides whether an event may be copied from one relay to another
// at now (Unix seconds). It returns the rule that forbids it, or "".
func MayCopy(e *nostr.Event, now int64) (rule Code) {
	switch {
	case nostr.Ephemeral(e.Kind) || e.Kind == nostr.KindAuth:
		return Ephemeral
	case e.CreatedAt > now+nostr.MaxFuture:
		return FromTheFuture
	case e.Tag("-") != nil:
		return Protected
	case expired(e, now):
		return Expired
	}
	return ""
}

// mayUpload is [MayCopy] to a relay that is not ours. Deletions (NIP-09) travel
// like any event: they are what makes both sides forget.
func mayUpload(e *nostr.Event, now int64, privateToo bool) (rule Code) {
	if rule := MayCopy(e, now); rule != "" {
		return rule
	}
	if !privateToo && nostr.Private(e.Kind) {
		return Private
	}
	return ""
}

func expired(e *nostr.Event, now int64) bool {
	t := e.Tag("expiration")
	if t == nil {
		return false
	}
	at, err := strconv.ParseInt(t.At(1), 10, 64)
	return err == nil && at <= now
}
