package syncing

import (
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Stream is what the operator wants synced with some relays.
type Stream struct {
	// URLs are these relays; none is every relay that no other stream names.
	URLs []string
	// Mirror says that these relays are kept equal to each other.
	Mirror bool
	// Rule is what is synced. Its filter has no times, and Named is not set.
	Rule

	Since, Until Bound
}

// Bound bounds a filter in time, by a point in time or a distance from now. The
// zero value is no bound.
type Bound struct {
	At  int64 // Unix seconds
	Ago time.Duration
}

// unix returns the bound in Unix seconds. So long ago is the beginning of that
// day: two syncs of one day then ask the same.
func (b Bound) unix(now time.Time) int64 {
	if b.Ago == 0 {
		return b.At
	}
	at := now.Add(-b.Ago).Unix()
	return at - at%(24*3600)
}

// RulesFor returns the rules for a relay: those of the streams that name it, else
// those of the streams that name none, else that of preset. Mentions are asked
// only of relays that no stream names, and that we take events from.
func RulesFor(url string, streams []Stream, preset Stream, now time.Time) (list []Rule) {
	var others []Stream
	for _, s := range streams {
		switch {
		case nostr.HasRelay(s.URLs, url):
			list = append(list, s.rule(now))
		case len(s.URLs) == 0:
			others = append(others, s)
		}
	}
	if len(list) > 0 {
		return list
	}
	if len(others) == 0 {
		others = append(others, preset)
	}
	for _, s := range others {
		list = append(list, s.rule(now))
	}
	return list
}

func (s Stream) rule(now time.Time) Rule {
	r := s.Rule
	r.Named = len(s.URLs) > 0
	if s.Mirror {
		r.Group, r.Direction = s.URLs, reconcile.Both
	}
	r.Mentions = r.Mentions && !r.Named && r.Direction&reconcile.Down != 0
	r.Filter.Since, r.Filter.Until = s.Since.unix(now), s.Until.unix(now)
	return r
}

// NamedBy returns the relays that streams name, sorted.
func NamedBy(streams []Stream) (urls []string) {
	for _, s := range streams {
		urls = append(urls, s.URLs...)
	}
	slices.Sort(urls)
	return slices.Compact(urls)
}
