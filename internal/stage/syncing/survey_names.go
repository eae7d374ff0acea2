package syncing

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// nameEvery is how often the domain of an author's name (NIP-05) is asked.
	nameEvery = 7 * day
	// maxNames is of how many authors in a pass, which are some three of a full slice, but keys
	// are free. So many are asked at a time, as long as namesWait together.
	maxNames, namesAtOnce, namesWait = 8, 4, time.Minute
	// kindProfile is what an author says of themselves (NIP-01).
	kindProfile = 0
)

// askNames has the relays become known that domains name for authors whose profiles name the
// domain. Whose turn it is in a pass at now follows from the key, so that nothing needs to be
// remembered; whoever is missed waits for a week.
func (s *Stage) askNames(ctx context.Context, authors []string, now time.Time) {
	whose := nameTurn(authors, now)
	if s.Survey.Named == nil || len(whose) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, namesWait)
	defer cancel()
	local, err := s.Net.At(ctx, s.Local)
	if err != nil {
		return
	}
	var group errgroup.Group
	group.SetLimit(namesAtOnce)
	for e, err := range local.Query(ctx, nostr.Filter{Kinds: []int{kindProfile}, Authors: whose, Limit: len(whose)}) {
		var profile struct {
			NIP05 string `json:"nip05"`
		}
		if err != nil {
			s.Log.DebugContext(ctx, "couldn't read profiles", "err", err)
			break
		}
		if json.Unmarshal([]byte(e.Content), &profile) != nil || profile.NIP05 == "" {
			continue
		}
		group.Go(func() error {
			relays, err := s.Survey.Named(ctx, profile.NIP05, e.PubKey)
			if err != nil {
				s.Log.DebugContext(ctx, "couldn't ask for the relays of a name", "pubkey", e.PubKey, "err", err)
			}
			for _, url := range relays {
				s.heardOf(ctx, url, contract.ViaHint)
			}
			return nil
		})
	}
	_ = group.Wait() // it has no errors
}

// nameTurn decides of which authors names are asked for in a pass at now.
func nameTurn(authors []string, now time.Time) (whose []string) {
	turns := uint64(nameEvery / surveyEvery)
	turn := uint64(now.Unix()) / uint64(surveyEvery/time.Second) % turns //nolint:gosec // after 1970
	for _, pubkey := range authors {
		// By the end of the key, since slices go by its beginning.
		if n, err := strconv.ParseUint(pubkey[len(pubkey)-8:], 16, 32); err == nil && n%turns == turn && len(whose) < maxNames {
			whose = append(whose, pubkey)
		}
	}
	return whose
}
