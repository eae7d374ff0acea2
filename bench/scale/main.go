//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	authors := flag.String("authors", "10000,100000", "how many, for each row of the table; none leaves it out")
	shared := flag.Int("shared", 400, "how many authors' work replicas share; 0 leaves them out")
	flag.Parse()
	if err := measure(ctx, *authors, *shared); err != nil {
		fmt.Fprintln(os.Stderr, "bench/scale:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be stopped
	}
}

// row is what so many authors take.
type row struct {
	authors  int
	kv       float64       // bytes for each, by JetStream's count
	disk     float64       // bytes for each, of all files
	rss      float64       // MiB of relaymesh up
	rate     float64       // events/s through ingest, by the wall
	cpu      float64       // µs of the process, NATS included, for an event
	restart  time.Duration // the quickest of [restarts]
	busy     time.Duration // CPU of the restart
	rssAfter float64       // MiB after the restart
	counted  time.Duration // after which the console has counted all
	page     time.Duration // of the console, the slowest of [pages] in the median
	slowest  string        // which one
}

var missed bool

// goal prints one line: what was measured and what is wanted.
func goal(what string, measured float64, sign string, bound float64) {
	state := "ok"
	if sign == "<=" && measured > bound || sign == ">=" && measured < bound {
		state, missed = "short", true
	}
	fmt.Printf("goal %s: %.3g (want %s %g) %s\n", what, measured, sign, bound, state)
}

func measure(ctx context.Context, sizes string, shared int) error {
	dir, err := os.MkdirTemp("", "bench-scale")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := build(ctx, dir); err != nil {
		return err
	}
	if sizes != "" {
		if err := grow(ctx, dir, strings.Split(sizes, ",")); err != nil {
			return err
		}
	}
	if shared > 0 {
		if err := replicas(ctx, dir, shared); err != nil {
			return err
		}
	}
	if missed {
		return errors.New("a goal is missed")
	}
	return nil
}

// grow measures what more and more authors take.
func grow(ctx context.Context, dir string, sizes []string) error {
	fmt.Print("| authors | KV, B each | disk, B each | memory, MiB | events/s | CPU µs an event | restart, s |" +
		" CPU of it, s | memory after it, MiB | console has counted, s | its slowest page, ms |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	var rows []row
	for _, text := range sizes {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		r, err := whole(ctx, dir, filepath.Join(dir, text), n)
		if err != nil {
			return fmt.Errorf("%d authors: %w", n, err)
		}
		fmt.Printf("| %d | %.0f | %.0f | %.0f | %.0f | %.0f | %.2f | %.2f | %.0f | %.1f | %.1f (%s) |\n", n, r.kv, r.disk, r.rss, r.rate, r.cpu,
			r.restart.Seconds(), r.busy.Seconds(), r.rssAfter, r.counted.Seconds(), 1000*r.page.Seconds(), r.slowest)
		rows = append(rows, r)
	}
	first, last := rows[0], rows[len(rows)-1]
	// What a process takes without authors is in all rows.
	million := func(of func(row) float64) float64 {
		return of(last) + (of(last)-of(first))/float64(max(last.authors-first.authors, 1))*(1e6-float64(last.authors))
	}
	restart := million(func(r row) float64 { return r.restart.Seconds() })
	fmt.Printf("computed for 1 M authors from the first and the last row: %.1f GB of KV, a restart of %.1f s, %.1f s of CPU for it,"+
		" %.0f MiB after it\n",
		last.kv/1e3, restart, million(func(r row) float64 { return r.busy.Seconds() }), million(func(r row) float64 { return r.rssAfter }))
	goal("KV of an author, most beside fewest authors", last.kv/first.kv, "<=", 1.1)
	goal("CPU of an event, most beside fewest authors", last.cpu/first.cpu, "<=", 1.2)
	goal("s of a restart with 1 M authors, computed", restart, "<=", 60)
	goal("ms of the console's slowest page, most authors", 1000*last.page.Seconds(), "<=", 50)
	return nil
}
