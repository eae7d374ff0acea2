package run

import (
	"context"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// provenFor is for how long it is believed that a relay is proven, or not.
const provenFor = time.Minute

// proven tells proven relays by what KV says of them; see [contract.Relay.Proven].
type proven struct {
	known stage.Store[contract.Relay]
	asked recent.Map[string, standing]
}

type standing struct {
	proven bool
	until  time.Time
}

// is reports whether a relay is proven. What cannot be read proves nothing.
func (p *proven) is(ctx context.Context, url string) bool {
	if p == nil {
		return false
	}
	key, now := nostr.RelayKey(url), time.Now()
	if s, _ := p.asked.Get(key); now.Before(s.until) {
		return s.proven
	}
	doc, _, err := p.known.Get(ctx, key)
	is := err == nil && doc.Proven(now.Unix())
	p.asked.Put(key, standing{is, now.Add(provenFor)})
	return is
}

// followers is how many contact lists are looked at.
const followers = 100

// followed returns what asks the local relay whether authors who have been here
// for long follow somebody (kind 3, NIP-02). The lists of keys that were made
// today say nothing.
func followed(home *relay.Pool, url string, authors stage.Store[contract.Author]) func(context.Context, []string) (bool, error) {
	return func(ctx context.Context, pubkeys []string) (bool, error) {
		filter := nostr.Filter{Kinds: []int{3}, Tags: map[string][]string{"p": pubkeys}, Limit: followers}
		for e, err := range home.At(url).Query(ctx, filter) {
			if err != nil {
				return false, err
			}
			author, _, err := authors.Get(ctx, e.PubKey)
			if err != nil {
				return false, err
			}
			if author.Known(time.Now().Unix()) {
				return true, nil
			}
		}
		return false, nil
	}
}
