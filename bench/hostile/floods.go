//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
)

const (
	floods    = 5
	floodFor  = time.Minute
	restAfter = 3 * time.Minute // longer than the NATS server holds ids of work
)

// floodsPart measures what floods of fresh keys leave in memory, one after the other:
// what grows by the flood has no bound.
func floodsPart(ctx context.Context) error {
	dht, err := dhtnet.Start(ctx, 16)
	if err != nil {
		return err
	}
	defer func() { _ = dht.Close() }()
	p, err := startPipeline(ctx, dht.Bootstrap())
	if err != nil {
		return err
	}
	defer p.stop()
	quiet := p.memory()
	fmt.Printf("quiet: %.0f MiB\n", quiet)
	for i := range floods {
		flood, end := context.WithCancel(ctx)
		_, err := p.attack(flood)
		if err == nil {
			wait(ctx, floodFor)
		}
		end()
		if err != nil {
			return err
		}
		fmt.Printf("after flood %d: %.0f MiB\n", i+1, p.memory())
	}
	wait(ctx, restAfter)
	goal("MiB of memory beyond those when quiet, after all", p.memory()-quiet, 128)
	return ctx.Err()
}
