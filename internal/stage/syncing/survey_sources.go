package syncing

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/pager"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// kindMonitor is a monitor's word that a relay lives (NIP-66); its d tag is the URL.
	kindMonitor = 30166
	// monitoredEvery is how often monitors' words are read, at askedForMonitors relays, and
	// monitoredFor how old they may be.
	monitoredEvery, askedForMonitors, monitoredFor = 24 * time.Hour, 4, 7 * day
	// maxMonitored is how many relays each monitor may make known in a reading, and
	// maxReading how many words are read of all.
	maxMonitored, maxReading = 2000, 10_000
	// monitorsWait bounds the reading at one relay.
	monitorsWait = time.Minute
)

// askMonitors has relays become known of which monitors say that they live, and those
// that the operator names to surveys. Monitors may lie: each makes so many known at
// most, of a host no more than anybody, and what does not answer goes after a month.
// It reports whether any are new; what fails is tried again the next day.
func (s *Stage) askMonitors(ctx context.Context, relays []candidate) (news bool) {
	for _, url := range s.Survey.Seeds {
		news = s.heardOf(ctx, url, contract.ViaSeed) || news
	}
	relays = slices.Clone(relays)
	slices.SortFunc(relays, func(a, b candidate) int { return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.key, b.key)) })
	asks := slices.Clone(s.Survey.Seeds)
	for _, c := range relays {
		if len(asks) < len(s.Survey.Seeds)+askedForMonitors && c.rests <= s.Now().Unix() {
			asks = append(asks, c.url)
		}
	}
	said := map[string]int{} // by monitor
	seen := map[string]bool{}
	for _, url := range asks[:min(len(asks), 2*askedForMonitors)] {
		for _, living := range s.monitored(ctx, url, said) {
			if !seen[living] && len(seen) < maxReading {
				seen[living] = true
				news = s.heardOf(ctx, living, contract.ViaMonitor) || news
			}
		}
	}
	return news
}

// monitored returns the relays of which monitors say, at a relay, that they live.
func (s *Stage) monitored(ctx context.Context, url string, said map[string]int) (living []string) {
	ctx, cancel := context.WithTimeout(ctx, monitorsWait)
	defer cancel()
	remote, err := s.Net.At(ctx, url)
	if err != nil {
		return nil
	}
	filter := nostr.Filter{Kinds: []int{kindMonitor}, Since: s.Now().Add(-monitoredFor).Unix(), Limit: remote.Limits(ctx).PageSize()}
	p, read := pager.Pager{Filter: filter}, 0
	err = reconcile.Walk(ctx, remote, &p, func(e nostr.Event) error {
		if read++; read > maxReading {
			return errEnough
		}
		of, err := nostr.NormalizeRelayURL(e.Tag("d").At(1), s.Survey.AllowPrivate)
		if err == nil && said[e.PubKey] < maxMonitored {
			said[e.PubKey]++
			living = append(living, of)
		}
		return nil
	})
	if err != nil {
		s.Log.DebugContext(ctx, "couldn't read all that monitors say", "relay", url, "err", err)
	}
	return living
}

// errEnough ends a reading.
var errEnough = errors.New("monitors say more than is read")

// heardOf has a relay become known, if there is room for it, and reports whether it is new.
func (s *Stage) heardOf(ctx context.Context, url, via string) (news bool) {
	if s.isLocal(url) || s.Denied.Relay(url) {
		return false
	}
	_, known, err := s.Relays.Get(ctx, nostr.RelayKey(url))
	if err == nil && !known {
		news, err = s.known.Admit(ctx, s.buckets(), url, s.Now().Unix())
	}
	if err == nil && (known || news) {
		_, err = s.addRelay(ctx, url, via)
	}
	if err != nil {
		s.Log.DebugContext(ctx, "couldn't take in a relay", "relay", url, "err", err)
	}
	return news && err == nil
}
