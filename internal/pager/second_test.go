package pager

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// noCap is a relay that gives as many as are asked for.
const noCap = 1 << 20

// second7 are n events of second 7 by so many authors, and of so many kinds from 1 on.
func second7(n, authors, kinds int) []nostr.Event {
	list := stored(slices.Repeat([]int64{7}, n)...)
	for i := range list {
		list[i].PubKey, list[i].Kind = fmt.Sprint("author", i%authors), 1+i%kinds
	}
	return list
}

// others are n events of kind 9999, one a second from at on, newest first.
func others(at int64, n int) []nostr.Event {
	var seconds []int64
	for i := range n {
		seconds = append(seconds, at+int64(i))
	}
	list := stored(seconds...)
	for i := range list {
		list[i].ID, list[i].Kind = fmt.Sprint("other", at, i), 9999
	}
	return list
}

// What a second that fills a page still hides is asked for, and only what cannot be asked
// for, or cannot be known, is told.
func TestASecondThatFillsAPage(t *testing.T) {
	const all, perhaps, more = "", "may be all", "no more than a page"
	kind1 := nostr.Filter{Kinds: []int{1}, Limit: 484}
	authors := nostr.Filter{Limit: 484}
	for i := range 8 {
		authors.Authors = append(authors.Authors, fmt.Sprint("author", i))
	}
	two := nostr.Filter{Authors: authors.Authors[:2], Limit: 484}
	kinds := nostr.Filter{Kinds: []int{1, 2, 3, 4}, Limit: 200}
	plain, period := nostr.Filter{Limit: 484}, nostr.Filter{Since: 7, Limit: 484}
	broad, large := func(f nostr.Filter) bool { return f.Since == 0 }, func(f nostr.Filter) bool { return f.Limit > 500 }
	for name, c := range map[string]struct {
		cap, states int
		events      []nostr.Event
		filter      nostr.Filter
		refuses     func(nostr.Filter) bool
		reached     int
		told        string
	}{
		// A round number that is all there is.
		"50, of a relay that states nothing":   {noCap, 0, second7(50, 1, 1), plain, nil, 50, perhaps},
		"50, of a relay that states 500":       {noCap, 500, second7(50, 1, 1), plain, nil, 50, all},
		"100, of a relay that states 484":      {noCap, 484, second7(100, 1, 1), plain, nil, 100, all},
		"450, of a relay that states 5000":     {noCap, 5000, second7(450, 1, 1), plain, nil, 450, all},
		"50, of a relay that states 60":        {noCap, 60, second7(50, 1, 1), nostr.Filter{Limit: 60}, nil, 50, all},
		"50 of a kind, of a relay with more":   {noCap, 0, slices.Concat(second7(50, 1, 1), others(1, 2)), kind1, nil, 50, all},
		"50 of a kind, of a relay without":     {noCap, 0, second7(50, 1, 1), kind1, nil, 50, perhaps},
		"50 of a period, of a relay with more": {noCap, 0, append(second7(50, 1, 1), others(1, 2)...), period, nil, 50, all},
		"50 below newer ones":                  {noCap, 0, append(others(9, 51), second7(50, 1, 1)...), plain, nil, 101, all},
		"100 of two authors":                   {noCap, 0, second7(100, 2, 1), two, broad, 100, all},
		"100 of eight authors":                 {noCap, 0, second7(100, 8, 1), authors, broad, 100, all},
		// Relays that cut there.
		"cut at 50, states nothing":          {50, 0, second7(70, 1, 1), plain, nil, 50, perhaps},
		"cut at 50, states 500, has older":   {50, 500, append(second7(70, 1, 1), others(1, 4)...), plain, nil, 54, more},
		"cut at 50, states 500, has newer":   {50, 500, append(others(9, 60), second7(70, 1, 1)...), plain, nil, 110, more},
		"cut at 500, states 5000, has newer": {500, 5000, append(others(9, 3), second7(700, 1, 1)...), plain, nil, 503, more},
		"cut at its limit":                   {30, 30, second7(70, 1, 1), nostr.Filter{Limit: 30}, nil, 30, more},
		// What can be reached in another way.
		"700, states 5000":                       {5000, 5000, append(second7(700, 1, 1), others(1, 4)...), plain, nil, 704, all},
		"700, states 5000, refuses that":         {5000, 5000, second7(700, 1, 1), plain, large, 484, more},
		"12,000, states 100,000":                 {noCap, 100_000, second7(12_000, 1, 1), plain, nil, 10_000, more},
		"700 by authors":                         {500, 500, second7(700, 8, 1), authors, nil, 700, all},
		"700 by authors, cut at 100":             {100, 0, second7(700, 8, 1), authors, nil, 700, all},
		"700 by kinds":                           {200, 200, second7(700, 1, 4), kinds, nil, 700, all},
		"4000 by authors, of whom one fills one": {484, 0, second7(4000, 8, 1), authors, nil, 8 * 484, more},
		"parts are refused":                      {500, 0, second7(700, 8, 1), authors, func(nostr.Filter) bool { return true }, 484, more},
	} {
		for _, order := range []string{"newest", "oldest"} {
			events := c.events
			if order == "oldest" && name == "cut at 500, states 5000, has newer" {
				continue // nothing is known of the newer ones yet
			}
			if order == "oldest" {
				events = oldestFirst(events)
			}
			seen, p := walk(t, relay{cap: c.cap, events: events, states: c.states, refuses: c.refuses}, c.filter)
			for id, n := range seen {
				if n != 1 {
					t.Errorf("%s, %s first: %s came %d times", name, order, id, n)
				}
			}
			if told := p.Unreached(); len(seen) != c.reached || (told == "") != (c.told == "") || !strings.Contains(told, c.told) {
				t.Errorf("%s, %s first: %d events, want %d; it %q, want %q", name, order, len(seen), c.reached, told, c.told)
			}
		}
	}
}
