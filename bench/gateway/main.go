//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/gateway"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/gateway:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		return serve(os.Args[2:])
	}
	b := bench{}
	flag.DurationVar(&b.round, "round", 3*time.Second, "how long a round of load is")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds of each way")
	flag.Float64Var(&b.rate, "rate", 0, "operations a second at half load; 0 is half of what saturates the relay directly")
	flag.DurationVar(&b.slice, "slice", time.Second, "how long a slice at half load is")
	flag.IntVar(&b.slices, "slices", 21, "slices of each way")
	flag.DurationVar(&b.live, "live", 30*time.Second, "how long each idle connection gets an event a second")
	flag.IntVar(&b.idle, "idle", 10_000, "idle connections")
	flag.Parse()
	raiseFiles(b.idle)
	return b.measure()
}

// serve is a child: a relay, or a gateway before the relay of that URL.
func serve(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.DiscardHandler)
	switch args[0] {
	case "relay":
		r, err := khatrutest.Start(ctx, log)
		if err != nil {
			return err
		}
		fmt.Println(r.URL())
	case "gateway":
		g, err := gateway.Start(ctx, gateway.Config{
			Relay: args[1], Verify: schnorr.Verify, Fetch: fetch, Hear: func([]byte) {}, Log: log,
		})
		if err != nil {
			return err
		}
		fmt.Println(g.URL())
	default:
		return errors.New("want relay or gateway")
	}
	<-ctx.Done()
	return nil
}

// fetchTakes is how long the stand-in for the fetch service takes, and slow is the
// begin of ids for which it has no answer in time.
const (
	fetchTakes = 5 * time.Millisecond
	slow       = "dead"
)

// fetch finds the notes that lie elsewhere.
func fetch(ctx context.Context, r events.MissingNoteRequest) (events.MissingNoteResponse, error) {
	takes := fetchTakes
	if strings.HasPrefix(r.EventID, slow) {
		takes = time.Duration(r.TimeoutMS) * time.Millisecond
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return events.MissingNoteResponse{}, ctx.Err()
	}
	e := elsewhere()[r.EventID]
	return events.MissingNoteResponse{Found: e != nil, Event: e}, nil
}
