package pager

// leavesOut reports whether a page shows for the first time that the relay leaves out the
// second of its bound: the page before had events of it.
func (p *Pager) leavesOut(g page, cut bool) bool {
	bound, nearest, ignored := p.Filter.Until, g.newest.at, g.newer
	if p.Up {
		bound, nearest, ignored = p.Filter.Since, g.oldest.at, g.older
	}
	if !p.begun || p.Exclusive || p.inclusive || bound != p.edge.at {
		return false
	}
	p.inclusive = nearest == bound
	return !p.inclusive && ignored == 0 && !cut
}

// goBack ends a page of a relay that has left out the second of its bound, and asks for
// the rest of that second, and for those where the walk has begun and ended.
func (p *Pager) goBack(g page) (last int64, more bool) {
	before := p.edge
	_, more = p.end(g, false)
	s := &second{at: before.at, resume: p.Filter, edge: p.edge, over: !more}
	for _, at := range []int64{before.at, p.until, p.since} {
		if at > 0 && (at != p.since || s.over || p.Up) { // else the walk comes there
			part := p.Filter
			part.Since, part.Until = at, at
			s.parts = append(s.parts, part)
		}
	}
	p.Exclusive, p.second, p.edge = true, s, before
	return before.at, p.ask()
}
