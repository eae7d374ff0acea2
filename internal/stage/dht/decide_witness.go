package dht

import (
	"fmt"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// witnessOneIn is how many refreshes have one after which another worker is asked what
// it finds; after a put of a new item it always is, if nobody else is being asked.
const witnessOneIn = 16

// crowded says that nodes are nearer to a target than chance allows, if they are.
func crowded(sharedBits int) string {
	if sharedBits == 0 {
		return ""
	}
	return fmt.Sprintf("the nearest nodes share %d bits with the target, which is no chance: somebody may have put them there", sharedBits)
}

// decideWitnessed returns how a record stands once another worker has looked for it,
// which asks the nearest only. Nodes that give it to whoever put it, and not to others,
// are no holders.
func decideWitnessed(p events.RecordPublished, w Witness) events.RecordPublished {
	if w.From == "" {
		return p
	}
	p.From = w.From
	seen := w.Holders
	if w.Seq < p.Seq {
		seen = 0
	}
	if 2*seen < min(p.Holders, allHolders) {
		also := fmt.Sprintf("of %d nodes that gave us the record, %d gave it to the worker at %s: the others may answer us only",
			p.Holders, seen, w.From)
		if p.Warning != "" {
			also = p.Warning + "; " + also
		}
		p.Warning, p.Holders = also, seen
	}
	return p
}
