package syncing

import (
	"context"
	"strconv"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const retryAfter = 10 * time.Second

// isLocal reports whether a URL is one of the local relay.
func (s *Stage) isLocal(url string) bool {
	return nostr.SameRelay(url, s.Local) || nostr.HasRelay(s.Public, url)
}

// Announce has relays synced that the operator names, now and on a schedule. It
// is idempotent; cause tells one wish from the next.
func (s *Stage) Announce(ctx context.Context, urls []string, cause string) error {
	for _, url := range urls {
		if s.isLocal(url) || s.Denied.Relay(url) {
			continue
		}
		if _, err := s.addRelay(ctx, url, contract.ViaManual); err != nil {
			return err
		}
		if err := s.Publish(ctx, s.due(url, cause)...); err != nil {
			return err
		}
	}
	return nil
}

// addRelay writes down that there is a relay, and returns its URL as it is to be
// dialled: of spellings of one relay that which the operator gives, else the first
// one, until the relay does not answer by it.
func (s *Stage) addRelay(ctx context.Context, url, via string) (string, error) {
	now := s.Now().Unix()
	relay, err := s.Relays.Update(ctx, nostr.RelayKey(url), func(old contract.Relay, found bool) (contract.Relay, bool) {
		byTheWay := via == contract.ViaHint || via == contract.ViaMonitor
		switch {
		case !found && byTheWay:
			return contract.Relay{URL: url, Via: via, FirstSeen: now, Named: now}, true
		case !found:
			return contract.Relay{URL: url, Via: via, FirstSeen: now}, true
		case byTheWay && old.Named <= now-int64(day/time.Second):
			old.Named = now
			return old, true
		case via == contract.ViaManual:
			named := old.URL == url && old.Via == via
			old.URL, old.Via = url, via
			return old, !named
		case old.URL == url || old.Via == contract.ViaManual || old.Failures == 0:
			return old, false
		}
		old.URL = url
		return old, true
	})
	return relay.URL, err
}

// due makes a relay due, now and on a schedule.
func (s *Stage) due(url, cause string) []contract.Output {
	return []contract.Output{
		{Subject: contract.SyncDueSubject(nostr.RelayKey(url)), Data: nostr.Encode(contract.SyncDue{URL: url, Cause: cause})},
		s.schedule(url, true),
	}
}

// Back has a relay synced at once that was away and answers again: what failed
// meanwhile is not held against it. A relay that is not synced is none of its concern.
func (s *Stage) Back(ctx context.Context, url string) error {
	known := false
	relay, err := s.Relays.Update(ctx, nostr.RelayKey(url), func(old contract.Relay, found bool) (contract.Relay, bool) {
		known = found
		next := decideHealth(old, health.Answered, "", 0, s.Now(), 0)
		return next, found && next.Failures != old.Failures
	})
	if err != nil || !known {
		return err
	}
	cause := "back:" + strconv.FormatInt(s.Now().UnixNano(), 10)
	return s.Publish(ctx, s.due(relay.URL, cause)[0])
}

// HandleDiscovered takes relay.discovered.<relay key>: remember the relay, sync
// it now and on a schedule from now on. Who writes there is in the links.
func (s *Stage) HandleDiscovered(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
	p, err := nostr.Decode[events.RelayDiscovered](m.Data)
	if err != nil {
		return nil, contract.Reject(err.Error())
	}
	key := m.Key()
	if nostr.RelayKey(p.URL) != key {
		return nil, contract.Reject("url: does not belong to the key of the subject")
	}
	if s.isLocal(p.URL) || s.Denied.Relay(p.URL) {
		return nil, contract.Done()
	}
	if kept, err := s.admit(ctx, p.URL); err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	} else if !kept {
		return nil, contract.Done()
	}
	url, err := s.addRelay(ctx, p.URL, p.Via)
	if err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	}
	return s.due(url, m.Cause), contract.Done()
}

func (s *Stage) buckets() stage.Buckets {
	return stage.Buckets{Relays: s.Relays, Links: s.Links, Authors: s.Authors}
}

// admit reports whether a relay is kept: one of a host that has as many as may be
// is left out, and so is who writes there.
func (s *Stage) admit(ctx context.Context, url string) (bool, error) {
	_, found, err := s.Relays.Get(ctx, nostr.RelayKey(url))
	if err != nil || found {
		return found, err
	}
	kept, err := s.known.Admit(ctx, s.buckets(), url, s.Now().Unix())
	if err == nil && !kept {
		s.Log.WarnContext(ctx, "left a relay out: its host has as many as may be", "relay", url, "host", hosts.Of(url), "entries", hosts.MaxURLs)
	}
	return kept, err
}
