package main

import (
	"fmt"
	"sync"
)

// sessions counts what a place is asked, by the driven hour, in pages of REQ: a session of negentropy is
// as much as 20.
type sessions struct {
	mu    sync.Mutex
	hour  int64
	count int
	most  int // in any hour
	all   int

	rests, authors int   // sessions about many authors that found nothing new, and how many these were
	wire           int64 // their bytes
}

const pagesOfASession = 20

// add counts so many pages, or a session, at a driven time.
func (s *sessions) add(now int64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hour := now / 3600; hour != s.hour {
		s.hour, s.count = hour, 0
	}
	s.count += n
	s.all += n
	s.most = max(s.most, s.count)
}

// rested counts a session about many authors in which there was nothing new: its filter, the one answer, and its end.
func (s *sessions) rested(authors int, wire int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if authors >= manyAuthors {
		s.rests++
		s.authors += authors
		s.wire += wire
	}
}

// manyAuthors is of how many a session must be for its bytes to be told by author.
const manyAuthors = 50

// rest is what looks took that found nothing new: bytes on the wire for each author, both ways, and how many there were.
type rest struct {
	Bytes float64
	Looks int
}

// atRest returns what looks at rest took at places that do not compress, and at those that do.
func (w *world) atRest() (of [2]rest) {
	var wire, authors [2]int64
	for _, p := range w.places {
		at := 0
		if p.deflate {
			at = 1
		}
		p.asked.mu.Lock()
		wire[at], authors[at], of[at].Looks = wire[at]+p.asked.wire, authors[at]+int64(p.asked.authors), of[at].Looks+p.asked.rests
		p.asked.mu.Unlock()
	}
	for at := range of {
		of[at].Bytes = float64(wire[at]) / float64(max(authors[at], 1))
	}
	return of
}

func restGoals(of [2]rest) {
	for at, relays := range []string{"that do not compress", "that compress"} {
		if of[at].Looks > 0 {
			goal(fmt.Sprintf("bytes an author of a look at rest, both ways on the wire, of %d at relays %s", of[at].Looks, relays), of[at].Bytes,
				"<=", []float64{75, 45}[at])
		}
	}
}

// sessions returns how many one place was asked for in its busiest hour, and a place on average, and how the first is.
func (w *world) sessions() (most, mean float64, busiest string) {
	pages, all := 0, 0
	for _, p := range w.places {
		p.asked.mu.Lock()
		if p.asked.most > pages {
			pages, busiest = p.asked.most, p.String()
		}
		all += p.asked.all
		p.asked.mu.Unlock()
	}
	hours := float64(24 * w.days * len(w.places))
	return float64(pages) / pagesOfASession, float64(all) / pagesOfASession / hours, busiest
}

// costs prints what others were asked, and what that took.
func (o *ours) costs() {
	w := o.w
	most, mean, busiest := w.sessions()
	fmt.Printf("\nsessions with a relay: %.2f an hour on average; the busiest hour is that of one %s\n", mean, busiest)
	goal("sessions with one relay in its busiest hour", most, "<=", 12)
	goal("dials a day to a URL that does not answer, after its first day", float64(o.net.busiest(w.dead)), "<=", 6)
	goal("reads of the local relay for one slice in an hour", float64(o.home.mine.mostReads()), "<=", 1)
	restGoals(w.atRest())
	fmt.Printf("  in the second half surveys take %.2f bytes a day for each author and relay that lives\n",
		float64(o.bytes.Load()-o.half)/float64(w.authors)/float64(len(w.places))/float64(w.days-w.days/2))
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
