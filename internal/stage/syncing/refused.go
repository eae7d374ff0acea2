package syncing

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Refused is bucket refused. Add writes a value that expires, unless there is
// one already. All errors are worth a retry.
type Refused interface {
	Each(ctx context.Context, pattern string, f func(key string, r contract.Refused) error) error
	Add(ctx context.Context, key string, r contract.Refused, ttl time.Duration) (added bool, err error)
}

const (
	// maxRefused bounds what is remembered of one relay: some 3 MiB during a sync.
	// Beyond it events are offered, and refused, again with every sync.
	maxRefused = 50_000
	// maxRefusedOther is the same of one that has proved nothing: all relays of a
	// host together have as much as a proven one.
	maxRefusedOther = maxRefused / hosts.MaxURLs
)

// memory is what syncs of the local relay with one other leave out, from the
// start of one sync to its end.
type memory struct {
	stage  *Stage
	relay  string // relay key
	most   int
	sync   contract.Sync // what is known of syncs with it, of the goroutine that syncs
	sample string        // key of the job after which a sample is asked for, or ""
	shown  *runningSync  // as which the sync is told of
	enough func() error  // see [reconcile.Options]

	mu sync.Mutex
	of [2]map[negentropy.ID]struct{} // by the side that is not given the event
}

// recall reads the memory of a relay.
func (s *Stage) recall(ctx context.Context, url string) (*memory, error) {
	proven, err := s.proven(ctx, url)
	if err != nil {
		return nil, err
	}
	relayKey := nostr.RelayKey(url)
	m := &memory{stage: s, relay: relayKey, most: maxRefusedOther}
	if proven {
		m.most = maxRefused
	}
	for to := range m.of {
		m.of[to] = map[negentropy.ID]struct{}{}
	}
	now := s.Now().Unix()
	err = s.Refused.Each(ctx, contract.RefusedKey(relayKey, "*"), func(key string, r contract.Refused) error {
		if id, err := negentropy.ParseID(key[len(relayKey)+1:]); err == nil && m.size() < m.most && stillRefused(r, now) {
			m.of[side(r.Local)][id] = struct{}{}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't read what was refused: %w", err)
	}
	return m, nil
}

// side is the local relay's side of a pair, or the other.
func side(local bool) negentropy.Side {
	if local {
		return negentropy.SideA
	}
	return negentropy.SideB
}

func (m *memory) size() int { return len(m.of[0]) + len(m.of[1]) }

// has reports whether an event is left out.
func (m *memory) has(to negentropy.Side, id negentropy.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.of[to][id]
	return ok
}

// add remembers a refusal. That this fails is no reason to stop: the event is
// offered again then.
func (m *memory) add(ctx context.Context, r reconcile.Refusal) {
	m.mu.Lock()
	_, again := m.of[r.To][r.ID]
	full := m.size() >= m.most
	if !again && !full {
		m.of[r.To][r.ID] = struct{}{}
	}
	m.mu.Unlock()
	if again || full {
		return
	}
	m.stage.refuse(ctx, m.relay, r)
}

// refuse writes down that syncs with a relay are to leave an event out.
func (s *Stage) refuse(ctx context.Context, relayKey string, r reconcile.Refusal) {
	_, err := s.Refused.Add(ctx, contract.RefusedKey(relayKey, r.ID.String()), refusedBy(r, s.Now().Unix()), keepFor(r.Reason))
	if err != nil {
		s.Log.WarnContext(ctx, "couldn't remember a refusal", "event", r.ID.String(), "reason", r.Reason, "err", err)
	}
}
