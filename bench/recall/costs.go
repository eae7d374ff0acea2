package main

import (
	"fmt"
	"sync"
)

// sessions counts what a place is asked, by the driven hour: a session of negentropy is one,
// and so are 20 pages of REQ.
type sessions struct {
	mu    sync.Mutex
	hour  int64
	count float64
	most  float64 // in any hour
	all   float64

	openings, authors int   // of sessions about many authors, and how many these were
	wire              int64 // their bytes
}

const pagesOfASession = 20

// add counts a session, or a share of one, at a driven time.
func (s *sessions) add(now int64, n float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hour := now / 3600; hour != s.hour {
		s.hour, s.count = hour, 0
	}
	s.count += n
	s.all += n
	s.most = max(s.most, s.count)
}

// opened counts the opening of a session about many authors, which took so many bytes on the wire.
func (s *sessions) opened(authors int, wire int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if authors >= manyAuthors {
		s.openings++
		s.authors += authors
		s.wire += wire
	}
}

// manyAuthors is of how many a session must be for its bytes to be told by author.
const manyAuthors = 50

// onTheWire returns what the opening of a session, its filter above all, has taken for each author,
// at places that compress, or do not.
func (w *world) onTheWire(deflate bool) (bytes float64, sessions int) {
	var wire int64
	authors := 0
	for _, p := range w.places {
		if p.deflate == deflate {
			wire, authors, sessions = wire+p.asked.wire, authors+p.asked.authors, sessions+p.asked.openings
		}
	}
	return float64(wire) / float64(max(authors, 1)), sessions
}

// costs prints what others were asked, and what that took.
func (o *ours) costs() {
	w := o.w
	most, mean := 0.0, 0.0
	for _, p := range w.places {
		most = max(most, p.asked.most)
		mean += p.asked.all / float64(len(w.places)) / float64(24*w.days)
	}
	fmt.Printf("\nsessions with a relay: %.2f an hour on average\n", mean)
	goal("sessions with one relay in its busiest hour", most, "<=", 12)
	goal("dials a day to a URL that does not answer, after its first day", float64(o.net.busiest(w.dead)), "<=", 6)
	goal("reads of the local relay for one slice in an hour", float64(o.home.mine.mostReads()), "<=", 1)
	goal("bytes an author and look, on the last day", o.rest, "<=", 75)
	for _, at := range []struct {
		deflate bool
		relays  string
		bound   float64
	}{{false, "that do not compress", 75}, {true, "that compress", 45}} {
		if bytes, n := w.onTheWire(at.deflate); n > 0 {
			goal(fmt.Sprintf("bytes an author to open a session, on the wire, in %d with relays %s", n, at.relays), bytes, "<=", at.bound)
		}
	}
	fmt.Printf("  the survey takes %.2f bytes a day for each author and relay that lives\n",
		float64(o.lastDay)/float64(w.authors)/float64(len(w.places)))
}

// busiest returns how often that URL was asked on one day which was asked most often, of
// those given, after its first day. What is asked within the same minute is asked once.
func (d *dialled) busiest(urls []string) (most int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, url := range urls {
		days, last := map[int64]int{}, int64(0)
		for _, at := range d.asked[url] {
			if at > d.asked[url][0]+day && at > last {
				days[(at-begin)/day]++
				most = max(most, days[(at-begin)/day])
			}
			last = at
		}
	}
	return most
}
