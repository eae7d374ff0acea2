package dht

import (
	"context"
	"fmt"
	"slices"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// withSeen adds to an answer about an author the relays that have delivered their
// events lately, and that neither they nor others name; most evidence first.
func (s *Stage) withSeen(ctx context.Context, answer events.ResolveResponse) (events.ResolveResponse, error) {
	if answer.PubKey == "" || s.Links == nil {
		return answer, nil
	}
	now := s.Now().Unix()
	var links []contract.Link
	err := s.Links.Each(ctx, contract.LinkKey("*", answer.PubKey), func(_ string, l contract.Link) error {
		if stage.OnlySeen(l) && !stage.Forgotten(l, now) && !s.Denied.Relay(l.URL) {
			links = append(links, l)
		}
		return nil
	})
	if err != nil {
		return answer, fmt.Errorf("couldn't list where the author was seen: %w", err)
	}
	strong, weak := stage.Ranked(nil, links, now)
	answer.Seen = slices.Concat(strong, weak)
	return answer, nil
}
