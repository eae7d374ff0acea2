package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// report is what a run tells.
type report struct {
	options *options
	plan    []fault
	fleet   *fleet
	ledger  *ledger
	begun   time.Time

	held       float64 // events a second that were accepted
	settled    time.Duration
	recoveries recoveries
	verdict    verdict

	mu       sync.Mutex
	failures []error // of making faults
}

func (r *report) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, err)
}

func (r *report) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.failures...)
}

// say prints a line with the time since the beginning.
func (r *report) say(format string, args ...any) {
	fmt.Printf("%6.1fs  %s\n", time.Since(r.begun).Seconds(), fmt.Sprintf(format, args...))
}

// head says what will happen.
func (r *report) head() {
	r.begun = time.Now()
	fmt.Printf("chaos: seed %d, %s, %d faults\n", r.options.Seed, r.options.Duration, len(r.plan))
	if !r.options.Inside {
		fmt.Printf("NO NAMESPACES (%s): all runs on loopback, without small disks.\n", r.options.without)
		fmt.Printf("LEFT OUT: %s, %s, %s.\n", kindDisk, kindPartition, kindLoss)
	}
	fmt.Println("planned, in seconds after the load begins:")
	for _, f := range r.plan {
		fmt.Println(" ", f)
	}
}

// print tells how it went; the error says that it went wrong.
func (r *report) print() error {
	fmt.Printf("\nload held: %.1f events/s of %.1f; %d accepted, %d of them sent again; settled %.1f s after its end\n",
		r.held, r.options.Rate, r.ledger.accepted, r.ledger.retries, r.settled.Seconds())
	for what, took := range r.ledger.times() {
		fmt.Printf("  %-28s %6d  p50 %6.1fs  p99 %6.1fs  max %6.1fs after it was accepted\n", what, len(took), quantile(took, .5),
			quantile(took, .99), quantile(took, 1))
	}
	fmt.Println("faults survived, and the time from their end until a probe passed the whole pipeline:")
	for _, k := range kinds {
		if took := r.recoveries.of(k.name); len(took) > 0 {
			fmt.Printf("  %-28s %6d  p50 %6.1fs               max %6.1fs\n", k.name, len(took), quantile(took, .5), quantile(took, 1))
		}
	}
	for _, p := range r.fleet.all() {
		if p.crashes > 0 {
			fmt.Printf("%s ended by itself %d times\n", p.name, p.crashes)
		}
	}
	for _, why := range r.ledger.refused {
		fmt.Println("refused by", why)
	}
	for _, g := range []struct {
		what  string
		wrong []string
	}{
		{"lost", r.verdict.Lost},
		{"duplicated in effect", r.verdict.Duplicated},
		{"went back", r.verdict.Back},
		{"dead letters without reason", r.verdict.DeadLetters},
	} {
		word := "ok"
		if len(g.wrong) > 0 {
			word = "short\n    " + strings.Join(g.wrong[:min(len(g.wrong), 20)], "\n    ")
		}
		fmt.Printf("goal %s: %d (want <= 0) %s\n", g.what, len(g.wrong), word)
	}
	if !r.verdict.ok() {
		return fmt.Errorf("a promise did not hold; --seed %d makes the same schedule", r.options.Seed)
	}
	return nil
}

// times yields, by what it was, how long each took to arrive.
func (l *ledger) times() func(yield func(what string, took []time.Duration) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	by := map[string][]time.Duration{}
	for _, p := range l.events {
		if p.took > 0 {
			by[p.what] = append(by[p.what], p.took)
		}
	}
	for _, at := range l.lists {
		by["list on the DHT"] = append(by["list on the DHT"], at.took...)
	}
	return func(yield func(string, []time.Duration) bool) {
		for _, what := range slices.Sorted(maps.Keys(by)) {
			if !yield(what, by[what]) {
				return
			}
		}
	}
}

// quantile returns a quantile in seconds; 1 is the maximum.
func quantile(took []time.Duration, q float64) float64 {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Seconds()
}
