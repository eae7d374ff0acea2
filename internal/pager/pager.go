// Package pager walks the stored events of a relay back in time, by REQs
// (NIP-01). It does no I/O.
package pager

import (
	"maps"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Pager turns the pages of a relay into one walk, newest first. Relays cut pages
// short without saying so, and several events may share the oldest second of a
// page: so each page begins at the second where the last one ended, and the end
// is an empty page. Events that share one second beyond a full page cannot be
// reached by NIP-01.
type Pager struct {
	filter  nostr.Filter
	edge    map[string]struct{} // ids that were listed of the second filter.Until
	capped  bool
	stalled int

	// The page that is being read.
	count, fresh int
	oldest       int64
	atOldest     map[string]struct{} // its ids of the oldest second
}

// New returns a walk over the events that match a filter, whose Until is where
// it begins (0 is the end of time) and whose Since bounds it.
func New(filter nostr.Filter) *Pager { return &Pager{filter: filter} }

// Filter returns the REQ for the next page.
func (p *Pager) Filter() nostr.Filter { return p.filter }

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
	if p.oldest == p.filter.Until && p.edge != nil {
		maps.Copy(p.edge, p.atOldest) // the smaller one, or an endless second costs ever more
		p.atOldest = p.edge
	}
	next := p.oldest
	switch {
	case p.fresh > 0:
		p.stalled = 0
	case cut:
		p.stalled++
	default: // only the overlap: step over its second, and look below
		p.capped = p.capped || full(p.count, p.filter.Limit)
		next--
	}
	p.edge, p.filter.Until = p.atOldest, next
	p.count, p.fresh = 0, 0
	return p.oldest, next >= max(p.filter.Since, 1)
}

// Capped reports whether a second may hold more events than a page.
func (p *Pager) Capped() bool { return p.capped }

// Stalled returns how many pages in a row were cut and brought nothing new.
func (p *Pager) Stalled() int { return p.stalled }

// full reports whether a page of one second may have been cut: relays cut at
// round numbers.
func full(n, limit int) bool { return limit > 0 && n >= limit || n >= 50 && n%50 == 0 }
