package pager

import (
	"maps"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// mostAtOnce bounds the limit with which a second is asked for as a whole, in events.
	mostAtOnce = 10_000
	// mostParts bounds the REQs of a walk for parts of seconds.
	mostParts = 200
)

// second is a second that fills a page, which is asked about before the walk goes on.
type second struct {
	at     int64
	resume nostr.Filter   // the walk's next page
	parts  []nostr.Filter // remain to be asked for, the last one first
	probe  bool           // the page that is being read tells only how large a page may be
	edge   edge           // where the walk's next page begins, if it is not where the last one did
	over   bool           // the walk has no next page
}

// Extra says that the next page is about a second that fills a page: one that the
// relay refuses ends no walk, see [Pager.Refused].
func (p *Pager) Extra() bool { return p.second != nil }

// Probing says that the events of the page that is being read are none of the walk's.
func (p *Pager) Probing() bool { return p.second != nil && p.second.probe }

// Refused takes the place of [Pager.Next] after an extra page that the relay refuses.
func (p *Pager) Refused() (last int64, more bool) {
	s := p.second
	p.page = page{}
	switch {
	case s.probe:
		return s.at, p.unshown(p.probed)
	case p.Filter.Limit > s.resume.Limit:
		return s.at, p.divide(p.Filter.Limit)
	}
	p.cap(p.Filter.Limit)
	s.parts = s.parts[:1]
	return s.at, p.nextPart()
}

// dense begins to ask about a second, which filled a page of n events: with the largest
// limit that the relay states, and then by authors and kinds, as far as the filter names
// them.
func (p *Pager) dense(at int64, n int) (more bool) {
	whole := p.Filter
	whole.Since, whole.Until = at, at
	if at == 1 {
		whole.Since = 0
	}
	p.asked = p.asked || at == p.top.at
	p.second = &second{at: at, resume: p.Filter, parts: []nostr.Filter{whole}}
	if larger := min(p.Most, mostAtOnce); n >= whole.Limit && larger > whole.Limit && whole.Limit > 0 {
		p.second.parts[0].Limit = larger
		return p.ask()
	}
	return p.suspect(n)
}

// ask asks for the last part, or resumes the walk if there is none.
func (p *Pager) ask() (more bool) {
	s := p.second
	if last := len(s.parts) - 1; last >= 0 {
		p.Filter = s.parts[last]
		return true
	}
	p.second, p.Filter = nil, s.resume
	if s.edge.ids != nil {
		p.edge = s.edge
	}
	return !s.over && p.goesOn()
}

// nextPart drops the last part and asks for the next one.
func (p *Pager) nextPart() (more bool) {
	s := p.second
	s.probe, s.parts = false, s.parts[:len(s.parts)-1]
	return p.ask()
}

// suspect finds out whether the relay cut the last part at n events: if it shows one
// more, of whatever, it does not cut there.
func (p *Pager) suspect(n int) (more bool) {
	part := p.second.parts[len(p.second.parts)-1]
	named := part.IDs != nil || part.Authors != nil || part.Kinds != nil || len(part.Tags) > 0
	if n < part.Limit && n > p.probed && (named || p.bounded || p.total > n) {
		p.second.probe, p.probed = true, n
		p.Filter = nostr.Filter{Limit: n + 1}
		return true
	}
	return p.unshown(n)
}

// unshown goes on after no page has shown that the last part, of n events, is whole.
func (p *Pager) unshown(n int) (more bool) {
	if p.believed(n, p.second.parts[len(p.second.parts)-1].Limit) {
		return p.nextPart()
	}
	return p.divide(n)
}

// endExtra ends an extra page.
func (p *Pager) endExtra(g page, cut bool) (more bool) {
	s := p.second
	if s.probe {
		if p.most = max(p.most, len(g.ids)); p.most > p.probed {
			return p.nextPart()
		}
		// It has more, and did not show them.
		p.doubted = p.doubted || !cut && len(g.ids) == p.probed && (p.total > p.probed || g.others > 0)
		return p.unshown(p.probed)
	}
	for _, e := range []edge{p.edge, p.top} {
		if e.at == g.oldest.at {
			maps.Copy(e.ids, g.oldest.ids)
		}
	}
	switch {
	case cut && g.fresh == 0:
		p.Stalled++
		return true
	case cut:
		p.Stalled = 0
		return true
	case p.full(g.sent()) && g.beyond == 0: // else it had room for others
		return p.suspect(g.sent())
	}
	return p.nextPart()
}

// divide has the last part, of n events, asked for in two. Each of its events is of one of them.
func (p *Pager) divide(n int) (more bool) {
	s := p.second
	last := len(s.parts) - 1
	a := s.parts[last]
	b, authors, kinds := a, len(a.Authors)/2, len(a.Kinds)/2
	switch {
	case p.parts >= mostParts || authors == 0 && kinds == 0:
		p.Filter = a
		p.cap(n)
		return p.nextPart()
	case authors > 0:
		a.Authors, b.Authors = slices.Clone(a.Authors[:authors]), slices.Clone(a.Authors[authors:])
	default:
		a.Kinds, b.Kinds = slices.Clone(a.Kinds[:kinds]), slices.Clone(a.Kinds[kinds:])
	}
	a.Limit, b.Limit = s.resume.Limit, s.resume.Limit
	p.parts += 2
	s.probe, s.parts = false, append(s.parts[:last], a, b)
	return p.ask()
}

// cap notes that a second may hold more than the n events of the page that was asked for.
func (p *Pager) cap(n int) {
	p.Capped = true
	if n < p.Filter.Limit && !p.doubted {
		p.perhaps = n
	} else {
		p.surely = true
	}
}

// believed reports whether a page of n events is whole by the relay's word, which
// states that it takes such a limit. The word counts until its pages contradict it.
func (p *Pager) believed(n, limit int) bool {
	if p.doubted || n >= limit || limit > p.Most {
		return false
	}
	p.trusted = true
	return true
}

// weigh compares the relay's word with its pages: behind a page that was shorter than
// its limit there is nothing left.
func (p *Pager) weigh(g page, cut bool) {
	if p.short && g.fresh > 0 {
		p.doubted = true
		p.Capped, p.surely = p.Capped || p.trusted, p.surely || p.trusted || p.Capped
	}
	p.short = !cut && g.sent() < p.Filter.Limit
}
