package dht

import (
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// standing returns the answer of a look-up, or in its place the list of the author
// under the same key, if that is newer, or is the one that was found and the author
// has ended: nobody can delete what the nodes of the DHT keep.
func standing(answer events.ResolveResponse, list contract.List) events.ResolveResponse {
	ended := list.Ended() && list.Version == answer.Seq
	if !answer.Found || list.Key != answer.DHTKey || list.Version <= answer.Seq && !ended {
		return answer
	}
	answer = events.ResolveResponse{
		PubKey: answer.PubKey, DHTKey: answer.DHTKey, Target: answer.Target, Seq: list.Version, Relays: list.Write, Found: len(list.Write) > 0,
	}
	switch {
	case list.Ended():
		answer.Why = "the author has deleted the list"
	case !answer.Found:
		answer.Why = "the author's newest list names no relay that may be dialled"
	}
	return answer
}
