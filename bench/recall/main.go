package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"time"
)

// quiet takes what servers have to say.
var quiet = log.New(io.Discard, "", 0)

var errNoName = errors.New("the world has no name servers")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench/recall:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be stopped
	}
}

func bench(ctx context.Context) error {
	seed := flag.Uint64("seed", 1, "of the world")
	short := flag.Bool("short", false, "a tenth of the world")
	authors := flag.Int("authors", 0, "another number of authors, if not 0")
	days := flag.Int("days", 0, "another number of driven days, if not 0")
	only := flag.Bool("calibrate", false, "only the ways of others, which need no sockets")
	broad := flag.Bool("wide", false, "a day of 10,000 authors with what they wrote in four months, at 1,000 relays; of the worker alone")
	serves := flag.Bool("serve", false, "be the world of -wide, driven by stdin")
	flag.Parse()
	// What has no name is known at once.
	net.DefaultResolver.PreferGo = true
	net.DefaultResolver.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errNoName }
	s := size{authors: 2000, live: 600, dead: 600, days: 14, history: threeYears}
	switch {
	case *broad:
		s = size{authors: 10_000, live: 1000, dead: 1000, days: 1, history: threeYears / 9}
	case *short:
		s.authors, s.live, s.dead = 200, 60, 60
	}
	if *days > 0 {
		s.days = *days
	}
	if *authors > 0 {
		s.authors = *authors
	}
	switch {
	case *serves:
		return serveWorld(ctx, s, *seed, os.Stdin, os.Stdout)
	case *broad:
		return wide(ctx, s)
	}
	begun := time.Now()
	w, err := draw(s, *seed)
	if err != nil {
		return err
	}
	mean, median := w.perAuthor()
	fmt.Printf("seed %d: %d authors with %d events (mean %.0f, median %.0f in a year), %d relays that live, %d URLs that do not\n",
		*seed, s.authors, len(w.notes), mean, median, s.live, s.dead)
	w.others()
	if *only {
		return nil
	}
	o, err := beside(w)
	if err != nil {
		return err
	}
	err = o.run(ctx, func(day int) {
		fmt.Fprintf(os.Stderr, "day %d after %.0f s: %d looks, of which %d failed, brought %d events; %.1f MiB\n",
			day, time.Since(begun).Seconds(), o.looks.Load(), o.lookFails.Load(), o.looked.Load(),
			float64(o.bytes.Load())/(1<<20))
	})
	if err != nil {
		return err
	}
	o.errors.Range(func(why, n any) bool {
		fmt.Fprintf(os.Stderr, "%6d not done: %.200s\n", n.(*atomic.Int64).Load(), why) //nolint:forcetypeassert // our own
		return true
	})
	return o.figures()
}

// others prints what the other ways get when the driven time begins, against all that is
// served by then, of authors of whom some listed relay lives, as the published figures do.
func (w *world) others() {
	all := w.shown(begin, func(*place) bool { return true })
	fmt.Println("\nbefore, of authors with a list of which some relay lives (published in brackets)")
	for _, way := range w.ways() {
		got := w.by(begin, way.choose)
		r, _ := w.count(begin, func(i int32) bool { return all[i] && len(w.writers[w.notes[i].author].listed) > 0 },
			func(i int32) bool { return got[i] })
		fmt.Printf("  %-30s", way.name)
		for k := range windows {
			fmt.Printf("  %s %5.1f %% ", windows[k].name, 100*r[k])
			if way.published[k] > 0 {
				fmt.Printf("(%4.1f)", 100*way.published[k])
			} else {
				fmt.Print("      ")
			}
		}
		fmt.Println()
	}
}
