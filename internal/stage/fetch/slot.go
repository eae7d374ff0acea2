package fetch

import (
	"context"

	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// searching is how many messages a worker handles at a time.
const searching = 64

// slot waits for a slot for a search. It counts for the host that is asked first,
// of whom whoever refers to the note has told us; without such a relay it counts
// for those who are known to be the author's, and is free if there are none, since
// then nobody is asked.
func (s *Stage) slot(ctx context.Context, n events.NoteMissing) (release func(), err error) {
	s.start()
	urls := firstHints(n)
	if len(urls) == 0 && n.AuthorPubkey != "" {
		author, _, err := s.Authors.Get(ctx, n.AuthorPubkey)
		if err != nil {
			return nil, err
		}
		urls = candidates(n, author, nil, s.Local, s.Now().Unix())
	}
	if len(urls) == 0 {
		return func() {}, nil
	}
	proven := s.Proven != nil
	for _, url := range urls {
		proven = proven && s.Proven(ctx, url)
	}
	return s.slots.Acquire(ctx, hosts.Of(urls[0]), proven)
}
