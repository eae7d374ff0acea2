package syncing

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

const (
	// frameLimit keeps our messages, in hex, below the 128 KiB that the
	// strictest relays in use accept.
	frameLimit = 60_000
	// maxRounds bounds the messages of one session: a million differences
	// take about 8,000 at this frame limit.
	maxRounds = 20_000
	// maxIDs bounds the ids that a relay may list in one session, and so what
	// they occupy: about 100 MiB.
	maxIDs = 1_000_000
	// idsPerRequest is how many events are asked for in one REQ.
	idsPerRequest = 100
	// pageSize is the limit of a paged REQ, which every relay allows.
	pageSize = 500
)

// syncFilter makes the local relay complete for one filter.
func (s *Stage) syncFilter(ctx context.Context, url string, filter events.Filter, result *events.SyncFinished) error {
	local := map[string]struct{}{}
	var items []negentropy.Item
	for e, err := range s.page(ctx, s.Local, filter) {
		if err != nil {
			return fmt.Errorf("couldn't list the local relay: %w", err)
		}
		id, err := negentropy.ParseID(e.ID)
		if err != nil {
			return err
		}
		items = append(items, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
		local[e.ID] = struct{}{}
	}
	write := s.writer(ctx, result)
	defer write.abort()
	need, err := s.difference(ctx, url, filter, items, result)
	switch {
	case errors.Is(err, ErrNoNegentropy):
		err = s.copyPaged(ctx, url, filter, local, write, result)
	case err == nil, errors.Is(err, negentropy.ErrLimit):
		// What was found before a bound was hit is progress: the next sync
		// goes on from there.
		err = errors.Join(err, s.download(ctx, url, filter, need, write, result))
	}
	return errors.Join(err, write.wait())
}

// difference asks the remote relay by negentropy which ids of the filter it
// has that are not among items. After an error they are those found before.
func (s *Stage) difference(ctx context.Context, url string, filter events.Filter, items []negentropy.Item, result *events.SyncFinished) ([]string, error) {
	need := map[negentropy.ID]struct{}{}
	r := negentropy.NewReconciler(negentropy.NewVector(items), negentropy.Options{
		FrameLimit: frameLimit,
		MaxRounds:  maxRounds,
		MaxIDs:     maxIDs,
		Need:       func(id negentropy.ID) { need[id] = struct{}{} },
	})
	session, answer, err := s.Net.Negentropy(ctx, url, filter, r.Initiate())
	if err != nil {
		return nil, err
	}
	defer session.Close()
	for done := false; !done && err == nil; {
		var next []byte
		result.Messages += 2
		if next, done, err = r.Reconcile(answer); err == nil && !done {
			answer, err = session.Exchange(ctx, next)
		}
	}
	if err != nil {
		err = fmt.Errorf("negentropy with %s: %w", url, err)
	}
	ids := make([]string, 0, len(need))
	for id := range need {
		ids = append(ids, hex.EncodeToString(id[:]))
	}
	slices.Sort(ids)
	return ids, err
}

// download fetches the events by id and hands them to the writer.
func (s *Stage) download(ctx context.Context, url string, filter events.Filter, ids []string, write *writer, result *events.SyncFinished) error {
	result.Missing += len(ids)
	for batch := range slices.Chunk(ids, idsPerRequest) {
		promised := len(batch)
		for e, err := range s.Net.Query(ctx, url, events.Filter{IDs: batch}) {
			if err != nil {
				return fmt.Errorf("couldn't download from %s: %w", url, err)
			}
			if !filter.Match(&e) {
				continue
			}
			promised--
			if err := write.event(e); err != nil {
				return err
			}
		}
		result.Invalid += max(promised, 0)
	}
	return nil
}

// copyPaged is the way without NIP-77: read everything that matches, and hand
// what is not at the local relay to the writer.
func (s *Stage) copyPaged(ctx context.Context, url string, filter events.Filter, local map[string]struct{}, write *writer, result *events.SyncFinished) error {
	for e, err := range s.page(ctx, url, filter) {
		if err != nil {
			return fmt.Errorf("couldn't read %s: %w", url, err)
		}
		if _, have := local[e.ID]; have {
			continue
		}
		result.Missing++
		if err := write.event(e); err != nil {
			return err
		}
	}
	return nil
}
