package fetch

import (
	"context"
	"fmt"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// knownRelays returns the relays that are known without asking anyone. Of a note
// that is named by its id alone, as clients do, nothing says where it is.
func (f *search) knownRelays(ctx context.Context) ([]string, error) {
	s, n := f.stage, f.need
	now := s.Now().Unix()
	var author contract.Author
	var linked []contract.Link
	if n.AuthorPubkey == "" && n.ReferencedBy == "" {
		urls, err := s.busiest.get(ctx, s)
		return append(candidates(n, author, nil, s.Local, now), others(urls, s.Local)...), err
	}
	if n.AuthorPubkey != "" {
		var err error
		if author, _, err = s.Authors.Get(ctx, n.AuthorPubkey); err != nil {
			return firstHints(n), err
		}
		author = stage.OwnLists(n.AuthorPubkey, author)
		err = s.Links.Each(ctx, contract.LinkKey("*", n.AuthorPubkey), func(_ string, l contract.Link) error {
			linked = append(linked, l)
			return nil
		})
		if err != nil {
			return candidates(n, author, nil, s.Local, now), err
		}
	}
	return candidates(n, author, linked, s.Local, now), nil
}

// byDHT returns the relays of the author's list on the DHT: under the key that
// they named themselves, else where whoever refers to the note says that it is,
// else where somebody said before.
func (f *search) byDHT(ctx context.Context) ([]string, error) {
	s, n := f.stage, f.need
	key := n.DHTKey
	if n.AuthorPubkey != "" {
		author, _, err := s.Authors.Get(ctx, n.AuthorPubkey)
		if err != nil {
			return nil, err
		}
		if key == "" || stage.OwnKey(n.AuthorPubkey, author) {
			key = author.DHTKey
		}
	}
	if key == "" {
		return nil, nil
	}
	answer, err := s.resolve(ctx, events.ResolveRequest{PubKey: n.AuthorPubkey, DHTKey: key})
	if err != nil {
		return nil, fmt.Errorf("couldn't resolve the author's list: %w", err)
	}
	return others(answer.Relays, s.Local), nil
}

// byMentions returns the relays of those whom the note mentions that refers to
// the missing one, and of its author.
func (f *search) byMentions(ctx context.Context) ([]string, error) {
	s, n := f.stage, f.need
	if n.ReferencedBy == "" || s.Local == "" {
		return nil, nil
	}
	by, err := s.Net.Find(ctx, s.Local, n.ReferencedBy)
	if err != nil || by == nil {
		return nil, err
	}
	var urls []string
	for _, user := range mentioned(by) {
		author, _, err := s.Authors.Get(ctx, user)
		if err != nil {
			return urls, err
		}
		urls = append(urls, inboxes(stage.OwnLists(user, author))...)
	}
	return others(urls, s.Local), nil
}

func others(urls []string, local string) (out []string) {
	for _, url := range urls {
		if !nostr.SameRelay(url, local) {
			out = append(out, url)
		}
	}
	return out
}
