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
	authors := flag.String("authors", "10000,100000", "how many, for each row of the table")
	flag.Parse()
	if err := measure(ctx, *authors); err != nil {
		fmt.Fprintln(os.Stderr, "bench/scale:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be stopped
	}
}

// row is what so many authors take.
type row struct {
	authors  int
	kv       float64 // bytes for each, by JetStream's count
	disk     float64 // bytes for each, of all files
	rss      float64 // MiB of relaymesh up
	rate     float64 // events/s through ingest, by the wall
	cpu      float64 // µs of the process, NATS included, for an event
	restart  time.Duration
	rssAfter float64 // MiB after the restart
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

func measure(ctx context.Context, sizes string) error {
	dir, err := os.MkdirTemp("", "bench-scale")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := build(ctx, dir); err != nil {
		return err
	}
	fmt.Print("| authors | KV, B each | disk, B each | memory, MiB | events/s | CPU µs an event | restart | memory after it, MiB |\n" +
		"|---|---|---|---|---|---|---|---|\n")
	var rows []row
	for text := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		r, err := whole(ctx, dir, filepath.Join(dir, text), n)
		if err != nil {
			return fmt.Errorf("%d authors: %w", n, err)
		}
		fmt.Printf("| %d | %.0f | %.0f | %.0f | %.0f | %.0f | %.1f s | %.0f |\n", n, r.kv, r.disk, r.rss, r.rate, r.cpu,
			r.restart.Seconds(), r.rssAfter)
		rows = append(rows, r)
	}
	first, last := rows[0], rows[len(rows)-1]
	// What a process takes without authors is in all rows.
	million := func(of func(row) float64) float64 {
		return of(last) + (of(last)-of(first))/float64(max(last.authors-first.authors, 1))*(1e6-float64(last.authors))
	}
	restart := million(func(r row) float64 { return r.restart.Seconds() })
	fmt.Printf("computed for 1 M authors from the first and the last row: %.1f GB of KV, a restart of %.0f s, %.0f MiB after it\n",
		last.kv/1e3, restart, million(func(r row) float64 { return r.rssAfter }))
	goal("KV of an author, most beside fewest authors", last.kv/first.kv, "<=", 1.1)
	goal("CPU of an event, most beside fewest authors", last.cpu/first.cpu, "<=", 1.2)
	goal("s of a restart with 1 M authors, computed", restart, "<=", 60)
	if err := replicas(ctx, dir, first.authors); err != nil {
		return err
	}
	if missed {
		return errors.New("a goal is missed")
	}
	return nil
}

// replicas compares the CPU of an event with several processes of ingest to that with
// one, which is how well they would use cores of their own.
func replicas(ctx context.Context, dir string, n int) error {
	fmt.Print("| replicas of ingest | events/s | CPU µs of ingest an event | efficiency per core |\n|---|---|---|---|\n")
	var alone float64
	for _, count := range []int{1, 2, 4} {
		rate, cpu, err := apart(ctx, dir, filepath.Join(dir, fmt.Sprint("replicas", count)), n, count)
		if err != nil {
			return fmt.Errorf("%d replicas: %w", count, err)
		}
		if count == 1 {
			alone = cpu
		}
		fmt.Printf("| %d | %.0f | %.0f | %.2f |\n", count, rate, cpu, alone/cpu)
		if count > 1 {
			goal(fmt.Sprintf("efficiency per core of %d replicas of ingest", count), alone/cpu, ">=", 0.8)
		}
	}
	return nil
}
