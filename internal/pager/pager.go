// Package pager walks the stored events of a relay by REQs (NIP-01), page by page.
// It does no I/O.
package pager

import (
	"errors"
	"fmt"
	"maps"
	"math"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Size is the limit of a page, in events, which every known relay allows. Pages
// are asked for with a limit always: only then NIP-01 promises the newest first,
// and some relays answer a REQ without one with the oldest.
const Size = 500

// ErrOverflow marks the error of a REQ that was ended because the relay ignored
// its limit. The events before it are a page like any other.
var ErrOverflow = errors.New("the limit is ignored")

// Pager turns the pages of a relay into one walk, newest first. Relays cut pages
// short without saying so, and several events may share the oldest second of a
// page: so each page begins at the second where the last one ended, and the end
// is an empty page. A second that fills a page is asked about by further pages, see
// [Pager.Extra]; what even these leave out cannot be reached by NIP-01. The first two
// seconds of time are taken for one, since an until of 0 says something else in a
// [nostr.Filter].
//
// A relay whose first page is not newest first may have more above it: the walk
// goes up from there when it has come to its end below. One that heeds no until
// repeats its first page, and nothing older can be asked of it. One that leaves out the
// second of until itself sends nothing of the second where a page begins: see [Pager.Request].
type Pager struct {
	// Filter selects the events of the next page. At first it selects those of the walk: its
	// Until is where the walk begins (0 is the end of time), its Since bounds it.
	Filter nostr.Filter
	// Exclusive says that the relay leaves out the seconds of since and until themselves,
	// which NIP-01 includes.
	Exclusive bool
	// Most is the largest limit that the relay says it takes (max_limit of NIP-11); 0 is
	// unknown.
	Most int
	// Capped says that a second may hold more events than could be asked for.
	Capped bool
	// Unordered says that there may be events between those of a page.
	Unordered bool
	// Unheeded is the bound that the relay does not heed, "until" or "since", so that it
	// sends a page again in place of the next one; or "".
	Unheeded string
	// Up says that the walk goes up.
	Up bool
	// Stalled is how many pages in a row were cut and brought nothing new.
	Stalled int

	inclusive bool // the relay has sent events of the second of its bound

	begun   bool
	bounded bool    // the walk is of a period
	until   int64   // where the walk began
	since   int64   // its lower end
	most    int     // events of the largest page
	edge    edge    // where the last page ended
	top     edge    // of the first page, if the walk is to go up from there
	page    page    // the one that is being read
	second  *second // the one that is being asked about, or nil
	total   int     // events that were fresh
	asked   bool    // the second of top has been asked about
	probed  int     // events of the largest page that another was to exceed
	perhaps int     // events of a page that may be whole, although the walk is capped
	surely  bool    // a second holds more than was shown
	parts   int     // how many parts of seconds there were
	short   bool    // the last page had fewer events than its limit
	trusted bool    // a page was taken for whole by the relay's word
	doubted bool    // and that does not hold
}

// edge is a second and the ids that were listed of it.
type edge struct {
	at  int64
	ids map[string]struct{}
}

// page is the events between two calls of [Pager.Next].
type page struct {
	count, fresh int
	others       int   // events that are none of the walk's
	newer, older int   // events from outside the period that was asked for
	beyond       int   // events from outside the period of the filter, which was asked for with its bounds a second wider
	past         bool  // and some from behind where the page was to begin
	last         int64 // created_at of the last event
	rises, falls int   // of created_at, from one event to the next
	oldest       edge
	newest       edge
	ids          map[string]struct{}
}

// Unreached says why the walk may have left events out, as the predicate of a
// sentence about the relay, or "".
func (p *Pager) Unreached() string {
	switch {
	case p.Unheeded != "":
		return "sends the same page of events whatever " + p.Unheeded + " says, so that others cannot be asked for"
	case p.Capped && p.perhaps > 0 && !p.surely:
		return fmt.Sprintf("sends %d events of one second, which may be all or as many as it ever sends at once: it has shown no larger page, "+
			"and states no larger max_limit (NIP-11)", p.perhaps)
	case p.Capped:
		return "shows no more than a page of the events of one second"
	case p.Unordered:
		return "sends pages of events in no order of time, so that others in between cannot be asked for"
	}
	return ""
}

// Shown reports whether all events of the walk above the second that [Pager.Next] has returned have been shown.
func (p *Pager) Shown() bool {
	return !p.Up && p.top.ids == nil && p.second == nil && p.Unreached() == ""
}

// Request is the REQ for the next page: the filter, or for a relay that leaves out its
// bounds one of a second more at both ends, of which [Pager.Add] takes nothing.
func (p *Pager) Request() nostr.Filter {
	f := p.Filter
	if p.Exclusive {
		if f.Until > 0 && f.Until < math.MaxInt64 {
			f.Until++
		}
		f.Since = max(f.Since-1, 0)
	}
	return f
}

// Add takes in an event of the page, in any order, and reports whether it is of the walk,
// and has come neither before on the page nor where the page before ended.
func (p *Pager) Add(e *nostr.Event) (fresh bool) {
	at, g := max(e.CreatedAt, 1), &p.page
	if later, earlier := p.Filter.Until > 0 && at > p.Filter.Until, at < p.Filter.Since; later || earlier {
		g.follows(at)
		g.beyond++
		g.past = g.past || later && !p.Up || earlier && p.Up
		return false
	}
	if g.count == 0 {
		g.oldest, g.newest, g.ids = edge{at: at}, edge{at: at}, map[string]struct{}{}
	}
	g.count++
	if _, twice := g.ids[e.ID]; twice {
		return false
	}
	g.ids[e.ID] = struct{}{}
	g.follows(at)
	if at < g.oldest.at {
		g.oldest = edge{at: at}
	}
	if at > g.newest.at {
		g.newest = edge{at: at}
	}
	g.oldest.add(at, e.ID)
	g.newest.add(at, e.ID)
	switch _, before := p.edge.ids[e.ID]; {
	case before:
		return false
	case p.Probing():
		g.others++
		return false
	}
	g.fresh++
	p.total++
	return true
}

// Stray takes in the date of an event from outside the period that was asked for.
func (p *Pager) Stray(createdAt int64) {
	g := &p.page
	g.follows(max(createdAt, 1))
	if createdAt < p.Filter.Since {
		g.older++
	} else {
		g.newer++
	}
}

// sent is how many events came, those from outside the period among them.
func (g *page) sent() int { return g.count + g.newer + g.older + g.beyond }

// follows notes in which order an event comes.
func (g *page) follows(at int64) {
	switch {
	case g.last == 0, at == g.last:
	case at > g.last:
		g.rises++
	default:
		g.falls++
	}
	g.last = at
}

// add notes an id, if it is of the edge's second.
func (e *edge) add(at int64, id string) {
	if at != e.at {
		return
	}
	if e.ids == nil {
		e.ids = map[string]struct{}{}
	}
	e.ids[id] = struct{}{}
}

// Next ends the page. It returns its oldest second, or on the way up its newest,
// and whether another page is to be asked for. cut says that the page was
// interrupted, so that its second may hold more.
func (p *Pager) Next(cut bool) (last int64, more bool) {
	g := p.page
	p.page = page{}
	if g.past {
		p.Exclusive, p.inclusive = false, true
	}
	if p.second != nil {
		at := p.second.at
		return at, p.endExtra(g, cut)
	}
	if g.past && g.count == 0 { // they may have taken the place of the others
		return p.edge.at, true
	}
	if p.leavesOut(g, cut) {
		return p.goBack(g)
	}
	return p.end(g, cut)
}

// end ends a page of the walk.
func (p *Pager) end(g page, cut bool) (last int64, more bool) {
	p.weigh(g, cut)
	if !p.begun {
		p.begun, p.until, p.since, p.bounded = true, p.Filter.Until, p.Filter.Since, p.Filter.Until != 0 || p.Filter.Since != 0
		if g.falls == 0 {
			p.top = g.newest
		}
	}
	p.most = max(p.most, g.sent())
	switch {
	case g.repeats(p.Up) && p.full(g.sent()) && p.Up:
		p.Unheeded = "since"
	case g.repeats(p.Up) && p.full(g.sent()):
		p.Unheeded = "until"
	case p.Up && g.fresh > 0: // it sends the oldest first, and has nothing below its first page
		p.Unheeded = ""
	}
	if g.count == 0 {
		return 0, p.turn()
	}
	if p.until < 0 { // second 0 alone
		if p.full(g.count) && !p.believed(g.count, p.Filter.Limit) {
			p.cap(g.count)
		}
		return 0, false
	}
	p.Unordered = p.Unordered || p.full(g.count) && g.unordered(p.Filter.Limit)
	end := g.oldest
	if p.Up {
		end = g.newest
	}
	if end.at == p.edge.at {
		maps.Copy(p.edge.ids, end.ids) // the smaller one, or an endless second costs ever more
		end = p.edge
	}
	next, dense := end.at, false
	switch {
	case g.fresh > 0:
		p.Stalled = 0
	case cut:
		p.Stalled++
	case p.Up && next == math.MaxInt64:
		return end.at, false
	default: // only the overlap: step over its second, and look beyond
		dense = p.full(g.count) && (!p.asked || end.at != p.top.at)
		next--
		if p.Up {
			next += 2
		}
	}
	p.edge = end
	if p.Up {
		p.Filter.Since = next
	} else {
		p.Filter.Until = next
	}
	if dense {
		return end.at, p.dense(end.at, g.count)
	}
	return end.at, p.goesOn()
}

// goesOn reports whether anything remains to be asked for.
func (p *Pager) goesOn() bool {
	if p.Up {
		return p.until == 0 || p.Filter.Since <= p.until
	}
	return p.Filter.Until >= max(p.Filter.Since, 1) || p.turn()
}

// turn begins the way up, if there is one.
func (p *Pager) turn() bool {
	if p.Up || p.top.ids == nil {
		return false
	}
	p.Up, p.edge, p.Stalled, p.short = true, p.top, 0, false
	p.Filter.Since, p.Filter.Until = p.top.at, p.until
	return true
}

// unordered reports whether a page was in no order. One
// event out of order may have arrived meanwhile; of a relay that joins the answers
// of several stores, each of which heeds the limit, the page overflows.
func (g *page) unordered(limit int) bool {
	if g.rises == 0 || g.falls == 0 {
		return false
	}
	return min(g.rises, g.falls) > g.count/10 || limit > 0 && len(g.ids) > limit
}

// repeats reports whether a page has nothing new, but events that lie behind where it was to begin. On the way up the newest first are no
// such: they show that there is nothing above.
func (g *page) repeats(up bool) bool {
	behind := g.newer > 0
	if up {
		behind = g.older > 0 && g.rises > g.falls
	}
	return behind && g.fresh == 0
}

// full reports whether a page of so many events may have been cut: relays cut at round
// numbers, always at the same.
func (p *Pager) full(n int) bool {
	return p.Filter.Limit > 0 && n >= p.Filter.Limit || n >= 50 && n%50 == 0 && n >= p.most
}
