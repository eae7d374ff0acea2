// Package pager walks the stored events of a relay back in time, by REQs
// (NIP-01). It does no I/O.
package pager

import (
	"iter"
	"maps"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Pager turns the pages of a relay into one walk, newest first. Relays cut pages
// short without saying so, and several events may share the oldest second of a
// page: so each page begins at the second where the last one ended, and the end
// is an empty page. Events that share one second beyond a full page cannot be
// reached by NIP-01.
type Pager struct {
	// Filter is the REQ for the next page. At first it selects the events: its
	// Until is where the walk begins (0 is the end of time), its Since bounds it.
	Filter nostr.Filter
	// Capped says that a second may hold more events than a page.
	Capped bool
	// Stalled is how many pages in a row were cut and brought nothing new.
	Stalled int

	edge map[string]struct{} // ids that were listed of the second Filter.Until

	// The page that is being read.
	count, fresh int
	oldest       int64
	atOldest     map[string]struct{} // its ids of the oldest second
}

// Walk asks for page after page and passes on what is fresh, to the end of the
// walk. An error of either function ends it.
func (p *Pager) Walk(ask func(nostr.Filter) iter.Seq2[nostr.Event, error], do func(nostr.Event) error) error {
	for more := true; more; _, more = p.Next(false) {
		for e, err := range ask(p.Filter) {
			if err != nil {
				return err
			}
			if !p.Add(&e) {
				continue
			}
			if err := do(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// Add takes in an event of the page, in any order, and reports whether it is
// not one that the page before ended with.
func (p *Pager) Add(e *nostr.Event) (fresh bool) {
	if p.count++; p.count == 1 || e.CreatedAt < p.oldest {
		p.oldest, p.atOldest = e.CreatedAt, map[string]struct{}{}
	}
	if e.CreatedAt == p.oldest {
		p.atOldest[e.ID] = struct{}{}
	}
	if _, twice := p.edge[e.ID]; twice {
		return false
	}
	p.fresh++
	return true
}

// Next ends the page. It returns the page's oldest second, and whether another
// page is to be asked for. cut says that the page was interrupted, so that its
// second may hold more.
func (p *Pager) Next(cut bool) (oldest int64, more bool) {
	if p.count == 0 {
		return 0, false
	}
	if p.oldest == p.Filter.Until && p.edge != nil {
		maps.Copy(p.edge, p.atOldest) // the smaller one, or an endless second costs ever more
		p.atOldest = p.edge
	}
	next := p.oldest
	switch {
	case p.fresh > 0:
		p.Stalled = 0
	case cut:
		p.Stalled++
	default: // only the overlap: step over its second, and look below
		p.Capped = p.Capped || full(p.count, p.Filter.Limit)
		next--
	}
	p.edge, p.Filter.Until = p.atOldest, next
	p.count, p.fresh = 0, 0
	return p.oldest, next >= max(p.Filter.Since, 1)
}

// full reports whether a page of one second may have been cut: relays cut at
// round numbers.
func full(n, limit int) bool { return limit > 0 && n >= limit || n >= 50 && n%50 == 0 }
