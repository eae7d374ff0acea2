package syncing

import (
	"context"
	"fmt"
	"time"

	"github.com/relaymesh/relaymesh/pkg/events"
)

const (
	// maxAttempts is how often a failed sync is tried before it waits for the
	// relay's next turn: a dead relay is no dead letter.
	maxAttempts = 3
	// maxDuration bounds one sync, so that a relay that trickles cannot hold
	// a worker's slot for ever.
	maxDuration = 30 * time.Minute
)

// HandleDue takes sync.due.<relay key>: make the local relay complete with
// what this relay holds of the authors who write to it.
func (s *Stage) HandleDue(ctx context.Context, m events.Message) ([]events.Output, events.Verdict) {
	p, err := events.Decode[events.SyncDue](m.Data)
	if err != nil {
		return nil, events.Reject(err.Error())
	}
	key := m.Key()
	if events.RelayKey(p.URL) != key {
		return nil, events.Reject("url: does not belong to the key of the subject")
	}
	if ok, err := s.turns.take(ctx, key); err != nil {
		return nil, events.Retry(retryAfter, err.Error())
	} else if !ok {
		return nil, events.Done()
	}
	defer s.turns.release(key)
	var authors []string
	err = s.Links.Each(ctx, events.LinkKey(key, "*"), func(link string, _ events.Link) error {
		authors = append(authors, link[len(key)+1:])
		return nil
	})
	if err != nil {
		return nil, events.Retry(retryAfter, fmt.Sprintf("couldn't list who writes to %s: %v", p.URL, err))
	}
	if len(authors) == 0 {
		return nil, events.Done()
	}
	start := s.Now()
	result, syncErr := s.sync(ctx, p.URL, authors)
	result.Millis = s.Now().Sub(start).Milliseconds()
	result.OK = syncErr == nil
	if syncErr != nil {
		result.Why = syncErr.Error()
	}
	_, err = s.Syncs.Update(ctx, key, func(old events.Sync, _ bool) (events.Sync, bool) {
		return remember(old, result, s.Now().Unix()), true
	})
	if err != nil {
		return nil, events.Retry(retryAfter, err.Error())
	}
	if syncErr != nil && m.Attempt < maxAttempts {
		return nil, events.Retry(retryAfter, result.Why)
	}
	return []events.Output{{Subject: events.SubjectSyncFinished, Data: events.Encode(result), ID: outcomeID(m, result)}}, events.Done()
}

// outcomeID makes two syncs with equal figures two outcomes, and one sync that
// is handled twice one.
func outcomeID(m events.Message, r events.SyncFinished) string {
	return "sync:" + m.Cause + ":" + events.RelayKey(r.URL)
}

func remember(old events.Sync, r events.SyncFinished, now int64) events.Sync {
	next := events.Sync{URL: r.URL, LastOK: old.LastOK, LastTry: now, Failures: old.Failures + 1, Last: r}
	if r.OK {
		next.LastOK, next.Failures = now, 0
	}
	return next
}

// sync works through the authors in chunks. What was stored before an error
// stays stored; the figures say how much.
func (s *Stage) sync(ctx context.Context, url string, authors []string) (events.SyncFinished, error) {
	ctx, cancel := context.WithTimeout(ctx, maxDuration)
	defer cancel()
	result := events.SyncFinished{URL: url, Authors: len(authors)}
	known, err := s.recall(ctx, events.RelayKey(url))
	if err != nil {
		return result, err
	}
	for _, filter := range chunks(authors) {
		if err := s.syncFilter(ctx, url, filter, known, &result); err != nil {
			return result, err
		}
	}
	return result, nil
}
