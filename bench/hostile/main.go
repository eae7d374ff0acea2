//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
)

// parts are what can be attacked.
var parts = map[string]func(context.Context) error{
	"relay":    relayPart,
	"pipeline": pipelinePart,
	"floods":   floodsPart,
	// The processes that relay starts.
	"serving":   serve,
	"attacking": strangers,
}

var missed bool

// goal prints one line: what was measured and what is wanted, at most.
func goal(what string, measured, bound float64) {
	state := "ok"
	if measured > bound {
		state, missed = "short", true
	}
	fmt.Printf("goal %s: %.4g (want <= %.4g) %s\n", what, measured, bound, state)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be stopped
	}
}

// measure attacks the parts of these names.
func measure(ctx context.Context, names []string) error {
	for _, name := range names {
		part := parts[name]
		if part == nil {
			return fmt.Errorf("there is no part %q", name)
		}
		if err := part(ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if missed {
		return errors.New("a goal is missed")
	}
	return nil
}
