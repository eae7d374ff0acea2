package dht

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/memkv"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// lagging is a bucket of which a copy that lags is read.
type lagging struct {
	*memkv.Bucket[contract.Author]
	old contract.Author
}

func (l lagging) Get(context.Context, string) (contract.Author, bool, error) { return l.old, true, nil }

// A message that was published last for a key that its author has left is not the end: it may have replaced the one for
// the new key.
func TestALookUpUnderAKeyThatWasLeftComesAgain(t *testing.T) {
	pubkey, now := strings.Repeat("a", 64), time.Now()
	key := func(letter string, at int64) contract.Author {
		return contract.Author{DHTKey: strings.Repeat(letter, 64), DHTKeyBy: pubkey, DHTKeyAt: at, FirstSeen: 1}
	}
	authors := memkv.New[contract.Author]()
	authors.Of[pubkey] = key("c", 2)
	s := &Stage{
		Authors: lagging{authors, key("b", 1)}, Records: memkv.New[contract.Record](), Relays: memkv.New[contract.Relay](),
		Links: memkv.New[contract.Link](), Network: slots{}, ResolveEvery: time.Hour, Now: func() time.Time { return now },
	}
	m := contract.Message{
		Subject: contract.AuthorSeenSubject(pubkey), Attempt: 1,
		Data: nostr.Encode(events.AuthorSeen{PubKey: pubkey, DHTKey: strings.Repeat("b", 64)}),
	}
	if out, verdict := s.HandleResolve(t.Context(), m); verdict.IsDone() || len(out) > 0 {
		t.Errorf("it ends as %v with %v, want another attempt", verdict, out)
	}
	s.Authors = authors
	m.Attempt = 10
	if _, verdict := s.HandleResolve(t.Context(), m); !verdict.IsDone() || authors.Of[pubkey].NextResolve == 0 {
		t.Errorf("then it ends as %v, and the author is not looked up again", verdict)
	}
}
