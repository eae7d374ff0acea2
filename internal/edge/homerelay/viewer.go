package homerelay

import (
	"slices"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// viewer is what may be shown to a connection of the kinds that are for their
// parties alone ([nostr.Private]). It is never changed: an AUTH makes another one.
type viewer struct {
	All  bool     // the pipeline, see [Relay.Token]
	Keys []string // that the client has proved to hold (NIP-42)
}

// everything is shown to the pipeline, and to all where nothing is private.
var everything = &viewer{All: true}

// sees reports whether an event may be shown.
func (v *viewer) sees(e *nostr.Event) bool {
	if v.All || !nostr.Private(e.Kind) || slices.Contains(v.Keys, e.PubKey) {
		return true
	}
	return slices.ContainsFunc(e.Tags, func(t nostr.Tag) bool { return t.At(0) == "p" && slices.Contains(v.Keys, t.At(1)) })
}

// stranger reports whether no private event can be shown.
func (v *viewer) stranger() bool { return !v.All && len(v.Keys) == 0 }

// mustAuth reports whether one of the filters asks for nothing but what is hidden from
// a stranger. Other filters are answered without it, see [client.offerAuth].
func (v *viewer) mustAuth(filters []nostr.Filter) bool {
	return v.stranger() && slices.ContainsFunc(filters, func(f nostr.Filter) bool {
		return !f.Void() && f.Kinds != nil && !slices.ContainsFunc(f.Kinds, public)
	})
}

// misses reports whether a filter that names something of a party, an event by its id,
// whom a p tag names, or a private kind among others, may match what is hidden from a
// stranger. It goes by what is asked and not by what is there, which nobody shall learn.
func (v *viewer) misses(f nostr.Filter) bool {
	bare := f.Kinds == nil && (f.IDs != nil || f.Tags["p"] != nil)
	return v.stranger() && !f.Void() && (bare || slices.ContainsFunc(f.Kinds, nostr.Private))
}

// of returns the viewer as far as it matters to the filters, so that equal answers
// are known to be equal.
func (v *viewer) of(filters []nostr.Filter) *viewer {
	if slices.ContainsFunc(filters, func(f nostr.Filter) bool { return f.Kinds == nil || slices.ContainsFunc(f.Kinds, nostr.Private) }) {
		return v
	}
	return everything
}

func public(kind int) bool { return !nostr.Private(kind) }
