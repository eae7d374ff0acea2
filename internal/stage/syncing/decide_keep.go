package syncing

import (
	"slices"
	"strconv"

	"github.com/relaymesh/relaymesh/pkg/events"
)

const kindAuth = 22242 // NIP-42: never leaves the connection it was made for

// keep decides whether an event from a relay may be written to the local one.
// why names the rule that forbids it.
func keep(e *events.Event, now int64) (ok bool, why string) {
	switch {
	case events.Ephemeral(e.Kind) || e.Kind == kindAuth:
		return false, "ephemeral"
	case e.CreatedAt > now+events.MaxFuture:
		return false, "from the future"
	case e.Tag("-") != nil:
		return false, "protected (NIP-70)"
	case expired(e, now):
		return false, "expired (NIP-40)"
	}
	return true, ""
}

func expired(e *events.Event, now int64) bool {
	t := e.Tag("expiration")
	if t == nil {
		return false
	}
	at, err := strconv.ParseInt(t.At(1), 10, 64)
	return err == nil && at <= now
}

// chunks cuts the authors of a relay into filters of at most maxAuthors: some
// relays refuse longer lists.
func chunks(authors []string) []events.Filter {
	slices.Sort(authors)
	var out []events.Filter
	for part := range slices.Chunk(authors, maxAuthors) {
		out = append(out, events.Filter{Authors: part})
	}
	return out
}

const maxAuthors = 500
