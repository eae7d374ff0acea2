package main

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// place is a relay that lives.
type place struct {
	w        *world
	url      string
	role     int
	evidence string // by what it can be known, "" by nothing

	keeps         int64 // seconds, 0 is for ever
	nip77         bool
	deflate       bool // compresses messages
	auth          bool // shows nothing to those who have not said who they are
	pays          bool // takes notes of those only who pay
	lies          bool // lists ids in sessions that it does not have
	most          int  // authors that it takes in a filter, 0 is any
	page          int  // events that it gives at most for one filter
	held          []int32
	mine          *shelf // of the relay that is ours, in place of held
	wire          atomic.Int64
	asked         sessions
	subscriptions sync.Map // of *subscription
	clients       sync.Map // of *client
}

// shelf is what our relay has taken in, by the number of the note, and when.
type shelf struct {
	mu    sync.Mutex
	at    []int64                // driven time, 0 is never
	reads map[string]map[int]int // how often it was read for a filter from the newest event on, by driven hour
}

func newShelf(notes int) *shelf {
	return &shelf{at: make([]int64, notes), reads: map[string]map[int]int{}}
}

// read counts a reading of a filter.
func (s *shelf) read(f *nostr.Filter, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := strings.Join(f.Authors, "")
	if s.reads[of] == nil {
		s.reads[of] = map[int]int{}
	}
	s.reads[of][int(now/3600)]++
}

// mostReads returns how often the shelf was read in an hour for the same authors.
func (s *shelf) mostReads() (most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, hours := range s.reads {
		for _, n := range hours {
			most = max(most, n)
		}
	}
	return most
}

// await waits until notes that were sent to us are on our shelf, a second at most: the
// clock is not to go on before they are.
func (p *place) await(notes []int32) {
	for range 500 {
		notes = slices.DeleteFunc(notes, p.has)
		if len(notes) == 0 {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// String tells how a place is, without its name.
func (p *place) String() string {
	return fmt.Sprintf("known by %s, NIP-77 %v, authors in a filter %d, page %d, lies %v", p.evidence, p.nip77, p.most, p.page, p.lies)
}

// serves reports whether a place shows anything to us.
func (p *place) serves() bool { return !p.auth }

// window is what a place keeps by a time: notes dated from from up to to.
func (p *place) window(now int64) (from, to int64) {
	if p.keeps == 0 {
		return 0, now
	}
	return now - p.keeps, now
}

// match returns the notes that a filter asks for, newest first, at most limit.
func (p *place) match(f *nostr.Filter, limit int) (found []int32) {
	w := p.w
	from, to := p.window(w.clock.Load())
	from = max(from, f.Since)
	if f.Until > 0 {
		to = min(to, f.Until)
	}
	if len(f.IDs) > 0 {
		for _, text := range f.IDs {
			id, _ := negentropy.ParseID(text)
			if i, known := w.byID[id]; known && p.has(i) && w.notes[i].at >= from && w.notes[i].at <= to {
				found = append(found, i)
			}
		}
		return found
	}
	takes := p.takes(f)
	if p.mine != nil {
		p.mine.mu.Lock()
		defer p.mine.mu.Unlock()
		for i := w.after(to) - 1; i >= 0 && w.notes[i].at >= from && len(found) < limit; i-- {
			if p.mine.at[i] > 0 && takes(&w.notes[i]) {
				found = append(found, int32(i)) //nolint:gosec // few
			}
		}
		return found
	}
	last := sort.Search(len(p.held), func(i int) bool { return w.notes[p.held[i]].at > to })
	for i := last - 1; i >= 0 && w.notes[p.held[i]].at >= from && len(found) < limit; i-- {
		if takes(&w.notes[p.held[i]]) {
			found = append(found, p.held[i])
		}
	}
	return found
}

// takes returns what a filter says of authors and kinds.
func (p *place) takes(f *nostr.Filter) func(*note) bool {
	of := make([]bool, len(p.w.keys))
	for _, pubkey := range f.Authors {
		if i, known := p.w.byKey[pubkey]; known {
			of[i] = true
		}
	}
	return func(n *note) bool {
		return (len(f.Authors) == 0 || of[n.author]) && (len(f.Kinds) == 0 || slices.Contains(f.Kinds, int(n.kind)))
	}
}

// after is the number of the first note that is dated after a time.
func (w *world) after(at int64) int {
	return sort.Search(len(w.notes), func(i int) bool { return w.notes[i].at > at })
}

// has reports whether a place ever had a note.
func (p *place) has(i int32) bool {
	if p.mine != nil {
		p.mine.mu.Lock()
		defer p.mine.mu.Unlock()
		return p.mine.at[i] > 0
	}
	_, found := slices.BinarySearch(p.held, i)
	return found
}

// take puts a note on the shelf of our relay, and reports whether it is new there.
func (p *place) take(id string) (known, fresh bool) {
	parsed, _ := negentropy.ParseID(id)
	i, known := p.w.byID[parsed]
	if !known {
		return false, false
	}
	p.mine.mu.Lock()
	defer p.mine.mu.Unlock()
	if p.mine.at[i] > 0 {
		return true, false
	}
	p.mine.at[i] = p.w.clock.Load()
	return true, true
}

// set is what a place has of a filter, as a session compares it. A liar adds ids.
func (p *place) set(f *nostr.Filter) *negentropy.Vector {
	var items []negentropy.Item
	for _, i := range p.match(f, math.MaxInt) {
		items = append(items, negentropy.Item{Timestamp: uint64(p.w.notes[i].at), ID: p.w.notes[i].id}) //nolint:gosec // after 1970
	}
	if p.lies {
		for i := range 40 {
			id := negentropy.ID{byte(i), byte(p.w.clock.Load()), byte(p.w.clock.Load() >> 8)}
			items = append(items, negentropy.Item{Timestamp: uint64(max(f.Since, begin-day) + int64(i)), ID: id}) //nolint:gosec // after 1970
		}
	}
	return negentropy.NewVector(items)
}
