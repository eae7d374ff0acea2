package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/bench/child"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	inFlight = 200
	authors  = 16
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	n := flag.Int("n", 4000, "events of a round with 200 in flight; an eighth of them one after the other")
	rounds := flag.Int("rounds", 7, "rounds of each relay, in turn")
	flag.Parse()
	var err error
	switch path := flag.Arg(1); flag.Arg(0) {
	case "embedded":
		err = child.ServeRelay(ctx, path, slog.New(slog.DiscardHandler))
	case "bare":
		err = serveBare(ctx, path)
	default:
		err = measure(ctx, *n, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/relay:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be stopped
	}
}

// relay is one that is measured.
type relay struct {
	*child.Process

	name, url string
	of        map[int]*figures // by events in flight
}

// figures are of rounds.
type figures struct {
	rates, cpu []float64 // events a second, and µs of CPU for each
	took       []time.Duration
}

func measure(ctx context.Context, n, rounds int) error {
	dir, err := os.MkdirTemp("", "bench-relay")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ours, theirs, err := start(ctx, dir)
	for _, r := range []*relay{ours, theirs} {
		if r != nil {
			defer r.Kill()
		}
	}
	if err != nil {
		return err
	}
	few := n / 8
	events, err := signed(rounds * (n + few))
	if err != nil {
		return err
	}
	for round := range rounds {
		of := [2]*relay{ours, theirs}
		if round%2 != 0 { // so that neither always goes first
			slices.Reverse(of[:])
		}
		many, one := events[:n], events[n:n+few]
		events = events[n+few:]
		for _, r := range of {
			for flight, list := range map[int][]event{inFlight: many, 1: one} {
				if err := r.round(ctx, flight, list); err != nil {
					return fmt.Errorf("%s: %w", r.name, err)
				}
			}
		}
	}
	return report(ours, theirs)
}

// start runs the embedded relay, and another to be measured beside it.
func start(ctx context.Context, dir string) (ours, theirs *relay, err error) {
	self := func(role string) (*relay, error) {
		p, url, err := child.Start("", os.Args[0], role, filepath.Join(dir, role))
		return &relay{Process: p, name: role, url: url, of: map[int]*figures{}}, err
	}
	if ours, err = self("embedded"); err != nil {
		return nil, nil, err
	}
	binary := os.Getenv(child.StrfryEnv)
	if binary == "" {
		theirs, err = self("bare")
		if err != nil {
			theirs = nil
		}
		return ours, theirs, err
	}
	s, err := child.StartStrfry(ctx, binary, dir)
	if err != nil {
		return ours, nil, err
	}
	return ours, &relay{Process: s.Process, name: "strfry", url: s.URL, of: map[int]*figures{}}, nil
}

// event is one that is ready to be sent.
type event struct {
	id   string
	text []byte
}

// signed returns new events.
func signed(n int) ([]event, error) {
	var keys [authors]*schnorr.SecretKey
	for i := range keys {
		var err error
		if keys[i], err = schnorr.NewSecret(); err != nil {
			return nil, err
		}
	}
	list, begin := make([]event, n), time.Now().Unix()-int64(n)
	for i := range list {
		e := nostr.Event{Kind: 1, CreatedAt: begin + int64(i), Content: strings.Repeat("a note ", 50)}
		if err := keys[i%authors].SignEvent(&e); err != nil {
			return nil, err
		}
		list[i] = event{e.ID, nostr.Message("EVENT", e)}
	}
	return list, nil
}

// round publishes over a connection of its own.
func (r *relay) round(ctx context.Context, flight int, list []event) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, r.url, nil) //nolint:bodyclose // Dial has read it
	if err != nil {
		return err
	}
	defer ws.CloseNow() //nolint:errcheck // it is gone either way
	of := r.of[flight]
	if of == nil {
		of = new(figures)
		r.of[flight] = of
	}
	slots, sent := make(chan struct{}, flight), make(chan time.Time, flight)
	cpu, begun := r.CPU(), time.Now()
	go func() {
		for _, e := range list {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			sent <- time.Now()
			if err := ws.Write(ctx, websocket.MessageText, e.text); err != nil {
				return
			}
		}
	}()
	for range list {
		_, data, err := ws.Read(ctx)
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(data, []byte(`["OK",`)) || !bytes.Contains(data, []byte(`",true,`)) {
			return fmt.Errorf("it answers %s", data)
		}
		of.took = append(of.took, time.Since(<-sent))
		<-slots
	}
	n := float64(len(list))
	of.rates = append(of.rates, n/time.Since(begun).Seconds())
	of.cpu = append(of.cpu, float64((r.CPU()-cpu).Microseconds())/n)
	return nil
}

// median is of a list that is not empty.
func median[T float64 | time.Duration](list []T) T {
	return slices.Sorted(slices.Values(list))[len(list)/2]
}

// report prints a table and the goals.
func report(ours, theirs *relay) error {
	fmt.Println("| relay | in flight | events/s | CPU µs an event | p50 ms |\n|---|---|---|---|---|")
	for _, flight := range []int{inFlight, 1} {
		for _, r := range []*relay{ours, theirs} {
			f := r.of[flight]
			p50 := "" // of one of many it is by how many are in flight
			if flight == 1 {
				p50 = fmt.Sprintf("%.2f", float64(median(f.took).Microseconds())/1000)
			}
			fmt.Printf("| %s | %d | %.0f | %.0f | %s |\n", r.name, flight, median(f.rates), median(f.cpu), p50)
		}
	}
	// Of one after the other the goal is by the p50, of which the machine's other work takes least.
	alone := func(f *figures) float64 { return 1 / median(f.took).Seconds() }
	beside := 0.5 // the bare relay has no index to write
	if theirs.name == "strfry" {
		beside = 0.7
	}
	missed := false
	goal := func(what string, of func(*figures) float64, flight int, sign string, bound float64) {
		measured, state := of(ours.of[flight])/of(theirs.of[flight]), "ok"
		if sign == ">=" && measured < bound || sign == "<=" && measured > bound {
			state, missed = "short", true
		}
		fmt.Printf("goal %s of the embedded relay beside %s, %d in flight: %.2f (want %s %g) %s\n", what, theirs.name, flight,
			measured, sign, bound, state)
	}
	rate := func(f *figures) float64 { return median(f.rates) }
	cpu := func(f *figures) float64 { return median(f.cpu) }
	goal("events/s", rate, inFlight, ">=", 0.6)
	goal("CPU an event", cpu, inFlight, "<=", 1.5)
	goal("events/s, by the p50,", alone, 1, ">=", beside)
	if missed {
		return errors.New("a goal is missed")
	}
	return nil
}
