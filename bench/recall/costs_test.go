package main

import "testing"

// Twelve sessions of pages are twelve, and not a little more by adding up twentieths.
func TestPagesAddUpToSessions(t *testing.T) {
	p := &place{}
	w := &world{places: []*place{p, {}}, size: size{days: 1}}
	for range 12 * pagesOfASession {
		p.asked.add(begin, 1)
	}
	p.asked.add(begin+3600, pagesOfASession)
	if most, mean, _ := w.sessions(); most != 12 || mean != 13./48 {
		t.Errorf("%v in the busiest hour, %v on average", most, mean)
	}
}
