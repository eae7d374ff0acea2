package main

import (
	"errors"
	"fmt"
)

var missed bool

// goal prints one line: what was measured and what is wanted.
func goal(what string, measured float64, sign string, bound float64) {
	state := "ok"
	if sign == ">=" && measured < bound || sign == "<=" && measured > bound {
		state, missed = "short", true
	}
	fmt.Printf("goal %s: %.4g (want %s %.4g) %s\n", what, measured, sign, bound, state)
}

// figures prints what ours has come to.
func (o *ours) figures() error {
	w := o.w
	end := w.clock.Load()
	at := end - 7*day // what was served from then on, to the end, counts
	evident := func(p *place) bool { return p.evidence != "" }
	truth := w.truth(at, end, evident)
	of := func(i int32) bool { return truth[i] }
	has := func(i int32) bool { return o.home.mine.at[i] > 0 }
	fmt.Printf("\nafter %d days from a cold start, of all that some relay has served for seven days, of all authors\n", w.days)
	ours, counts := w.count(at, of, has)
	lists := w.by(at, func(a int) []int { return w.writers[a].listed })
	for name, r := range map[string]recall{"ours": ours, "lists only": first(w.count(at, of, func(i int32) bool { return lists[i] }))} {
		fmt.Printf("  %-30s", name)
		for k := range windows {
			fmt.Printf("  %s %5.1f %% of %d", windows[k].name, 100*r[k], counts[k])
		}
		fmt.Println()
	}
	hidden := w.truth(at, end, func(p *place) bool { return p.evidence == "" })
	alone, n := w.count(at, func(i int32) bool { return hidden[i] && !truth[i] }, has)
	fmt.Printf("  at relays of which nothing is said, and nowhere else: %.1f %% of %d\n", 100*alone[2], n[2])
	o.missing(truth)
	for k, bound := range []float64{0.995, 0.99, 0.98} {
		goal("recall of "+windows[k].name, ours[k], ">=", bound)
	}
	o.latency()
	o.costs()
	if missed {
		return errors.New("a goal is missed")
	}
	return nil
}

func first(r recall, _ [3]int) recall { return r }

// truth is what some relay has served to us from one driven time to another.
func (w *world) truth(from, to int64, only func(*place) bool) []bool {
	before, after := w.shown(from, only), w.shown(to, only)
	for i := range before {
		before[i] = before[i] && after[i]
	}
	return before
}

// missing tells where what is missing is: by what its relays can be known, and how
// they are.
func (o *ours) missing(truth []bool) {
	lost := map[string]int{}
	for _, p := range o.w.places {
		if !p.serves() || p.evidence == "" {
			continue
		}
		why := p.String()
		from, to := p.window(o.w.clock.Load())
		for _, i := range p.held {
			n := &o.w.notes[i]
			if n.kind == 1 && truth[i] && o.home.mine.at[i] == 0 && n.at >= from && n.at <= to {
				lost[why]++
			}
		}
	}
	for why, n := range lost {
		fmt.Printf("    %6d missing at relays %s\n", n, why)
	}
}
