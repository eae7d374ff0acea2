package stage

import (
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Received is the message that hands an event to ingest. ok is false for one
// that ingest would refuse for its size: the same event may be six times as
// long here as it was on its relay, since JSON may be written in many ways.
func Received(e nostr.Event) (out contract.Output, ok bool) {
	data := nostr.Encode(e)
	return contract.Output{Subject: events.SubjectEventReceived, Data: data}, len(data) <= nostr.MaxEventBytes
}
