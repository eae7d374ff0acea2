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
// list of that source, takes back what third parties said if the author's own
// word takes its place, and returns the list that it has followed: that of
// author, whom the caller has just stored or read, or a later one that was
// stored meanwhile. It is idempotent; call it again after a failure.
func FollowList(
	ctx context.Context, authors Store[contract.Author], links Store[contract.Link], pubkey, via string, author contract.Author,
) (contract.List, error) {
	for {
		author = OwnLists(pubkey, author)
		list := author.Lists[via]
		e := evidence{via: via, key: list.Key, version: list.Version, urls: list.Write, over: overruled(pubkey, author)}
		if list.ID == "" && via == contract.ViaDHT {
			e.key = author.DHTKey // what other keys left behind goes, although there is no list yet
		}
		if err := setLinks(ctx, links, contract.LinkKey, pubkey, e); err != nil {
			return list, err
		}
		// Of two workers with two lists the one that ends last must leave the
		// links of the list that won.
		now, _, err := authors.Get(ctx, pubkey)
		if err != nil {
			return list, fmt.Errorf("couldn't read author %s: %w", pubkey, err)
		}
		if !later(pubkey, via, author, now) {
			return list, nil
		}
		author = now
	}
}

// FollowClaim does the same for the relays that were found under a DHT key that
// only third parties call the author's. While the author has said nothing
// themselves, they are looked at; counts says whether that is so.
func FollowClaim(
	ctx context.Context, authors Store[contract.Author], links Store[contract.Link], pubkey string, author contract.Author, seq int64,
	urls []string,
) (counts bool, err error) {
	for {
		e := evidence{via: contract.ViaClaim, version: seq, urls: urls, over: overruled(pubkey, author)}
		if counts = e.over == nil; !counts {
			e.urls = nil
		}
		if !OwnKey(pubkey, author) {
			e.over = append(e.over, contract.ViaDHT) // earlier versions took such a list for the author's
		}
		if err := setLinks(ctx, links, contract.LinkKey, pubkey, e); err != nil || !counts {
			return false, err
		}
		now, _, err := authors.Get(ctx, pubkey)
		if err != nil {
			return false, fmt.Errorf("couldn't read author %s: %w", pubkey, err)
		}
		if author = OwnLists(pubkey, now); overruled(pubkey, author) == nil {
			return true, nil
		}
	}
}

// FollowReaders does the same for the relays that the author reads from
// ([contract.ReaderKey]), with the list that FollowList returned.
func FollowReaders(ctx context.Context, links Store[contract.Link], pubkey, via string, list contract.List) error {
	return setLinks(ctx, links, contract.ReaderKey, pubkey, evidence{via: via, key: list.Key, version: list.Version, urls: list.Read})
}

var errLags = errors.New("KV shows the link and does not: a copy lags, or another worker was faster")

// evidence is what the links of an author are to show of one source.
type evidence struct {
	via     string
	key     string // of a list for the DHT
	version int64
	urls    []string
	over    []string // sources whose evidence goes
}

// covers reports whether a link shows the evidence, or newer.
func (e evidence) covers(l contract.Link) bool {
	have, found := l.Via[e.via]
	return found && have >= e.version && (e.via != contract.ViaDHT || l.Key == e.key)
}

// outdated returns the sources whose evidence a link must lose. Evidence of the
// same version may be of a list that lost by its id. With the last list that named the
// relay goes what it delivered: that is here, and a survey finds what comes after.
func (e evidence) outdated(l contract.Link) (sources []string) {
	left := false
	for via, version := range l.Via {
		out := via == e.via && !nostr.HasRelay(e.urls, l.URL) && (version <= e.version || via == contract.ViaDHT && l.Key != e.key)
		if left = left || out; out || slices.Contains(e.over, via) {
			sources = append(sources, via)
		}
	}
	_, delivered := l.Via[contract.ViaDelivered]
	if delivered && left && len(sources) == len(l.Via)-1 {
		sources = append(sources, contract.ViaDelivered)
	}
	return sources
}

// setLinks writes bucket links by a list or a claim; ingest's hint does so by a
// hint, and nothing else does. It adds the links that the evidence asks for, and
// takes it back from relays that it leaves out. A link with no evidence left is
// removed.
//
// It reads back what the bucket holds rather than the list before, so that a
// worker that died halfway leaves nothing behind.
func setLinks(ctx context.Context, links Store[contract.Link], keyOf func(relayKey, pubkey string) string, pubkey string,
	e evidence,
) error {
	for _, url := range e.urls {
		_, err := links.Update(ctx, keyOf(nostr.RelayKey(url), pubkey), func(l contract.Link, _ bool) (contract.Link, bool) {
			if e.covers(l) {
				return l, false
			}
			l.URL, l.Via = url, maps.Clone(l.Via)
			if l.Via == nil {
				l.Via = map[string]int64{}
			}
			l.Via[e.via] = e.version
			if e.via == contract.ViaDHT {
				l.Key = e.key
			}
			return l, true
		})
		if err != nil {
			return fmt.Errorf("couldn't link %s to %s: %w", pubkey, url, err)
		}
	}
	return links.Each(ctx, keyOf("*", pubkey), func(key string, l contract.Link) error {
		// One without evidence is left over from a worker that died below.
		if len(l.Via) > 0 && len(e.outdated(l)) == 0 {
			return nil
		}
		if err := takeBack(ctx, links, key, e); err != nil {
			return fmt.Errorf("couldn't unlink %s from %s: %w", pubkey, l.URL, err)
		}
		return nil
	})
}

// takeBack takes from a link what is outdated, and removes it if nothing is left.
func takeBack(ctx context.Context, links Store[contract.Link], key string, e evidence) error {
	taken := false
	left, err := links.Update(ctx, key, func(l contract.Link, found bool) (contract.Link, bool) {
		sources := e.outdated(l)
		if taken = found && len(sources) > 0; !taken {
			return l, false
		}
		l.Via = maps.Clone(l.Via)
		for _, via := range sources {
			delete(l.Via, via)
		}
		if _, still := l.Via[contract.ViaDHT]; !still {
			l.Key = ""
		}
		if _, still := l.Via[contract.ViaDelivered]; !still {
			l.Delivered = 0
		}
		return l, true
	})
	if err != nil {
		return err
	}
	removed, err := links.Remove(ctx, key, func(l contract.Link) bool { return len(l.Via) == 0 })
	if stays := len(left.Via) > 0 && (taken || left.Via[e.via] > e.version); err == nil && !removed && !stays {
		err = errLags
	}
	return err
}
