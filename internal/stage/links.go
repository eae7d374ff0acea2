package stage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// FollowList makes the links of an author by the evidence via equal to their
// list of that source, and returns the list that it has followed: list, which
// the caller has just stored or read, or a newer one that was stored meanwhile.
// It is idempotent; call it again after a failure.
func FollowList(ctx context.Context, authors Store[contract.Author], links Store[contract.Link], pubkey, via string, list contract.List) (contract.List, error) {
	for {
		if err := setLinks(ctx, links, contract.LinkKey, pubkey, via, list.Version, list.Write); err != nil {
			return list, err
		}
		// Of two workers with two lists the one that ends last must leave the
		// links of the list that won.
		author, _, err := authors.Get(ctx, pubkey)
		if err != nil {
			return list, fmt.Errorf("couldn't read author %s: %w", pubkey, err)
		}
		stored := author.Lists[via]
		// An older one is a copy that lags: lists never go back.
		if stored.Version < list.Version || stored.Version == list.Version && stored.ID == list.ID {
			return list, nil
		}
		list = stored
	}
}

// FollowReaders does the same for the relays that the author reads from
// ([contract.ReaderKey]), with the list that FollowList returned.
func FollowReaders(ctx context.Context, links Store[contract.Link], pubkey, via string, list contract.List) error {
	return setLinks(ctx, links, contract.ReaderKey, pubkey, via, list.Version, list.Read)
}

var errLags = errors.New("KV shows the link and does not: a copy lags, or another worker was faster")

// setLinks writes bucket links by a list; ingest's hint does so by a claim, and
// nothing else does. It adds the links that the list asks for, and takes the
// evidence back from relays that it leaves out. A link with no evidence left is
// removed.
//
// It reads back what the bucket holds rather than the list before, so that a
// worker that died halfway leaves nothing behind.
func setLinks(ctx context.Context, links Store[contract.Link], keyOf func(relayKey, pubkey string) string, pubkey, via string, version int64, urls []string) error {
	for _, url := range urls {
		_, err := links.Update(ctx, keyOf(nostr.RelayKey(url), pubkey), func(l contract.Link, _ bool) (contract.Link, bool) {
			if have, ok := l.Via[via]; ok && have >= version {
				return l, false
			}
			l = contract.Link{URL: url, Via: maps.Clone(l.Via)}
			if l.Via == nil {
				l.Via = map[string]int64{}
			}
			l.Via[via] = version
			return l, true
		})
		if err != nil {
			return fmt.Errorf("couldn't link %s to %s: %w", pubkey, url, err)
		}
	}
	return links.Each(ctx, keyOf("*", pubkey), func(key string, l contract.Link) error {
		// Evidence of the same version may be of a list that lost by its id.
		outdated := func(l contract.Link) bool {
			have, ok := l.Via[via]
			return ok && have <= version && !slices.Contains(urls, l.URL)
		}
		// One without evidence is left over from a worker that died below.
		if len(l.Via) > 0 && !outdated(l) {
			return nil
		}
		taken := false
		left, err := links.Update(ctx, key, func(l contract.Link, found bool) (contract.Link, bool) {
			if taken = found && outdated(l); !taken {
				return l, false
			}
			l.Via = maps.Clone(l.Via)
			delete(l.Via, via)
			return l, true
		})
		removed := false
		if err == nil {
			removed, err = links.Remove(ctx, key, func(l contract.Link) bool { return len(l.Via) == 0 })
		}
		if stays := len(left.Via) > 0 && (taken || left.Via[via] > version); err == nil && !removed && !stays {
			err = errLags
		}
		if err != nil {
			return fmt.Errorf("couldn't unlink %s from %s: %w", pubkey, l.URL, err)
		}
		return nil
	})
}
