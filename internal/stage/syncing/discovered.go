package syncing

import (
	"context"
	"time"

	"github.com/relaymesh/relaymesh/pkg/events"
)

const retryAfter = 10 * time.Second

// HandleDiscovered takes relay.discovered.<relay key>: remember the relay, sync
// it now and on a schedule from now on. Who writes there is in the links.
func (s *Stage) HandleDiscovered(ctx context.Context, m events.Message) ([]events.Output, events.Verdict) {
	p, err := events.Decode[events.RelayDiscovered](m.Data)
	if err != nil {
		return nil, events.Reject(err.Error())
	}
	key := m.Key()
	if events.RelayKey(p.URL) != key {
		return nil, events.Reject("url: does not belong to the key of the subject")
	}
	if p.URL == s.Local {
		return nil, events.Done()
	}
	now := s.Now().Unix()
	_, err = s.Relays.Update(ctx, key, func(old events.Relay, found bool) (events.Relay, bool) {
		if found {
			return old, false
		}
		return events.Relay{URL: p.URL, Via: p.Via, FirstSeen: now}, true
	})
	if err != nil {
		return nil, events.Retry(retryAfter, err.Error())
	}
	return []events.Output{
		{Subject: events.SyncDueSubject(key), Data: events.Encode(events.SyncDue{URL: p.URL, Cause: m.Cause})},
		s.schedule(p.URL, true),
	}, events.Done()
}
