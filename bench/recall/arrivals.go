package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// nearness is how near a new note is when it is written.
type nearness int

const (
	linked   nearness = iota // at a relay that is evidence for its author
	yielding                 // at one where the author's slice has yielded, and at none that is linked
	anywhere
)

// warm is after how long notes count as new: what comes before is the cold start.
const warm = 2 * day

// arrivals are the new notes by nearness.
type arrivals [anywhere + 1][]int32

// written notes the new notes between two driven times that some relay of which there is
// evidence serves.
func (o *ours) written(from, to int64) {
	w := o.w
	for i := w.after(from); i < w.after(to); i++ {
		n := &w.notes[i]
		if n.kind != 1 || int(n.author) >= w.authors || n.at < begin+warm {
			continue
		}
		at := nearness(-1)
		for _, p := range w.places {
			if p.serves() && p.evidence != "" && p.has(int32(i)) { //nolint:gosec // few
				if is := o.near(p, w.keys[n.author].PublicKey()); at < 0 || is < at {
					at = is
				}
			}
		}
		if at >= 0 {
			o.new[at] = append(o.new[at], int32(i)) //nolint:gosec // few
		}
	}
}

// near tells what is known of an author at a place.
func (o *ours) near(p *place, pubkey string) nearness {
	relay := nostr.RelayKey(p.url)
	if l, _, _ := o.links.Get(context.Background(), contract.LinkKey(relay, pubkey)); len(l.Via) > 0 {
		return linked
	}
	first, _ := strconv.ParseUint(pubkey[:8], 16, 32)
	bits := contract.SurveyRoot + fmt.Sprintf("%032b", first)
	for depth := len(contract.SurveyRoot); depth < len(bits); depth++ {
		s, found, _ := o.surveys.Get(context.Background(), bits[:depth])
		if !found || !s.Split {
			if s.Looks[relay].All > 0 {
				return yielding
			}
			break
		}
	}
	return anywhere
}

// waits returns how long notes took to come home, in driven seconds, sorted. One that has
// not come takes for ever, and one that was written so late that it may still come in time
// is left out.
func (o *ours) waits(notes []int32, within time.Duration) (list []float64) {
	end := o.w.clock.Load()
	for _, i := range notes {
		at, came := o.w.notes[i].at, o.home.mine.at[i]
		switch {
		case came > 0:
			list = append(list, float64(came-at))
		case at < end-int64(within/time.Second):
			list = append(list, math.Inf(1))
		}
	}
	slices.SortFunc(list, cmp.Compare)
	return list
}

// share returns the value below which so much of a sorted list is, 0 of none.
func share(list []float64, of float64) float64 {
	if len(list) == 0 {
		return 0
	}
	return list[int(of*float64(len(list)-1))]
}

// latency prints how soon new notes come.
func (o *ours) latency() {
	fmt.Println("\nnew notes, from the third day on, in driven time")
	names := [...]string{"of an author with evidence there", "at a relay where the slice has yielded", "anywhere else"}
	for at, notes := range o.new {
		waits := o.waits(notes, 24*time.Hour)
		fmt.Printf("  %-35s %6d notes: median %.1f min, 95th percentile %.1f h\n", names[at], len(notes), share(waits, 0.5)/60,
			share(waits, 0.95)/3600)
	}
	near := o.waits(o.new[linked], 24*time.Hour)
	if len(near) > 0 {
		goal("minutes until a new note of an author with evidence is here, median", share(near, 0.5)/60, "<=", 1)
	}
	// Of any author, with evidence there or not: as a rule there is, once something has come.
	if either := slices.Sorted(slices.Values(append(near, o.waits(o.new[yielding], 24*time.Hour)...))); len(either) > 0 {
		goal("hours until a new note is here where its author or slice has yielded, 95th percentile", share(either, 0.95)/3600, "<=", 24)
	}
	if far := o.waits(o.new[anywhere], 14*24*time.Hour); len(far) > 0 {
		goal("days until a new note is here that is anywhere else, 95th percentile", share(far, 0.95)/day, "<=", 14)
	}
}
