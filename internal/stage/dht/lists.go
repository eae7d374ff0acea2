package dht

import (
	"context"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// indexWait bounds the question to list indexes for an author who was seen.
const indexWait = 15 * time.Second

// byIndexes completes an answer without a list by one that list indexes have of the author: their kind 10002, whose signature
// the port has verified. Without indexes, or one of them, the answer stays, and says so.
func (s *Stage) byIndexes(ctx context.Context, answer events.ResolveResponse) events.ResolveResponse {
	if s.Lists == nil || answer.Found || answer.PubKey == "" {
		return answer
	}
	list, err := s.Lists.Resolve(ctx, answer.PubKey)
	answer.Indexes = list.Asked
	switch {
	case err != nil:
		answer.Why = because(answer.Why, err.Error())
	case list.Event == nil:
		answer.Why = because(answer.Why, list.Why)
	default:
		read, _ := stage.ReadRelayTags(list.Event, s.AllowPrivate) // with an error comes an empty list, which it is
		answer.Event, answer.Relays = list.Event, s.Denied.Relays(read.Write)
		if answer.Found = len(answer.Relays) > 0; answer.Found {
			answer.Why = ""
		} else {
			answer.Why = "the author's newest list names no relay that may be dialled"
		}
	}
	return answer
}

func because(first, second string) string {
	if first == "" {
		return second
	}
	return first + "; " + second
}

// learnList has the list taken in that indexes have of an author who has none, as any event is: ingest decides what it says.
func (s *Stage) learnList(ctx context.Context, pubkey string, author contract.Author) []contract.Output {
	if s.Lists == nil || len(stage.OwnLists(pubkey, author).Lists) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, indexWait)
	defer cancel()
	list, err := s.Lists.Resolve(ctx, pubkey)
	if err != nil || list.Event == nil {
		s.Log.DebugContext(ctx, "no list index has the list of an author", "pubkey", pubkey, "err", err, "reason", list.Why)
		return nil
	}
	return []contract.Output{{Subject: events.SubjectEventReceived, Data: nostr.Encode(list.Event)}}
}
