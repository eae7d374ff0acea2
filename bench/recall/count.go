package main

import (
	"cmp"
	"slices"
)

// windows are how far back recall is told.
var windows = []struct {
	name string
	days int64
}{{"7 days", 7}, {"1 year", 365}, {"3 years", 1095}}

// recall is the share of what counts that is there, by window.
type recall [3]float64

// count returns the recall at a time: has says of a note whether it is there, and counts
// whether it counts. Only notes are counted.
func (w *world) count(at int64, counts, has func(i int32) bool) (r recall, of [3]int) {
	var got [3]int
	for i := w.after(at) - 1; i >= 0; i-- {
		n := &w.notes[i]
		if n.kind != 1 || int(n.author) >= w.authors || !counts(int32(i)) { //nolint:gosec // few
			continue
		}
		there := has(int32(i)) //nolint:gosec // few
		for k, window := range windows {
			if n.at > at-window.days*day {
				of[k]++
				if there {
					got[k]++
				}
			}
		}
	}
	for k := range r {
		r[k] = float64(got[k]) / float64(max(of[k], 1))
	}
	return r, of
}

// shown returns what some relay of those that only admits serves at a time.
func (w *world) shown(at int64, only func(p *place) bool) []bool {
	is := make([]bool, len(w.notes))
	for _, p := range w.places {
		if !p.serves() || !only(p) {
			continue
		}
		from, to := p.window(at)
		for _, i := range p.held {
			if n := &w.notes[i]; n.at >= from && n.at <= to {
				is[i] = true
			}
		}
	}
	return is
}

// by returns what readers get at a time who ask of each author the relays that choose says.
func (w *world) by(at int64, choose func(author int) []int) []bool {
	asks := make([]map[int32]bool, len(w.places)) // authors, by place
	for a := range w.writers {
		for _, p := range choose(a) {
			if asks[p] == nil {
				asks[p] = map[int32]bool{}
			}
			asks[p][int32(a)] = true //nolint:gosec // few
		}
	}
	is := make([]bool, len(w.notes))
	for number, p := range w.places {
		if !p.serves() {
			continue
		}
		from, to := p.window(at)
		for _, i := range p.held {
			n := &w.notes[i]
			if asks[number][n.author] && n.at >= from && n.at <= to {
				is[i] = true
			}
		}
	}
	return is
}

// way is a way to choose relays. published is what it gets in facts, zero if that is not
// known.
type way struct {
	name      string
	published recall
	choose    func(author int) []int
}

// ways are those that others choose by.
func (w *world) ways() []way {
	listed := func(a int) []int { return w.writers[a].listed }
	cover := w.cover(20)
	all := map[int]bool{}
	for _, a := range w.writers {
		for _, p := range a.listed {
			all[p] = true
		}
	}
	var every []int
	for p := range all {
		every = append(every, p)
	}
	return []way{
		{"lists only", recall{0.879, 0.303, 0.094}, listed},
		{"two of each list", recall{0.770, 0.248, 0.106}, func(a int) []int { return listed(a)[:min(2, len(listed(a)))] }},
		{"greedy set cover, 20 relays", recall{0.844, 0.163, 0.098}, func(a int) (of []int) {
			for _, p := range listed(a) {
				if cover[p] {
					of = append(of, p)
				}
			}
			return of
		}},
		{"the two biggest relays", recall{0.609, 0.084, 0.030}, func(int) []int { return []int{0, 1} }},
		{"every relay of any list", recall{}, func(int) []int { return every }},
	}
}

// cover is the greedy set cover: relay after relay that is in most lists of authors who
// have none yet.
func (w *world) cover(n int) map[int]bool {
	chosen, done := map[int]bool{}, map[int]bool{}
	for range n {
		in := map[int]int{}
		for a := range w.writers {
			if done[a] {
				continue
			}
			for _, p := range w.writers[a].listed {
				in[p]++
			}
		}
		if len(in) == 0 { // the next that is in most lists
			clear(done)
			n++
			for a := range w.writers {
				for _, p := range w.writers[a].listed {
					if !chosen[p] {
						in[p]++
					}
				}
			}
		}
		best, most := -1, 0
		for p, count := range in {
			if !chosen[p] && (count > most || count == most && p < best) {
				best, most = p, count
			}
		}
		if best < 0 {
			return chosen
		}
		chosen[best] = true
		for a := range w.writers {
			if slices.Contains(w.writers[a].listed, best) {
				done[a] = true
			}
		}
	}
	return chosen
}

// perAuthor tells of the notes of a year: mean and median over authors.
func (w *world) perAuthor() (mean, median float64) {
	counts := make([]int, w.authors)
	sum := 0
	for _, n := range w.notes {
		if n.kind == 1 && n.at > begin-365*day && n.at <= begin {
			counts[n.author]++
			sum++
		}
	}
	slices.SortFunc(counts, cmp.Compare)
	return float64(sum) / float64(w.authors), float64(counts[w.authors/2])
}
