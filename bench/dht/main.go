//go:build linux

// Dhtbench measures what it costs to keep records alive on a DHT of ten million nodes: datagrams, bytes and CPU time of
// the client for each record, how many of the eight nearest nodes hold it afterwards, and how many nodes banned the
// client. It compares relaymesh's node with the getput package of anacrolix/dht, which it uses as intended: one put after
// the other.
//
//	go run ./bench/dht            all measurements, 13 minutes
//	go run ./bench/dht -sample 200 -records 100000 -real 0
//
// The network is simulated (package dhtsim) in a second process, so that the CPU time is the client's alone. No figure
// depends on how fast the machine is, but for the CPU time itself. A small network of real nodes follows.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dhtbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet("dhtbench", flag.ExitOnError)
	nodes := flags.Int("nodes", 10_000_000, "nodes of the simulated network, at most 16777216")
	sample := flags.Int("sample", 1000, "records that are measured, neighbours in the id space at each density")
	records := flags.String("records", "1000,100000,10000000", "densities: records in the whole id space")
	realNodes := flags.Int("real", 300, "nodes of the network of real nodes, 0 for none")
	stored := flags.Int("stored", 10_000, "records that are stored in JetStream to learn what one takes")
	serve := flags.Bool("serve", false, "be the simulated network, driven by stdin")
	profile := flags.String("cpuprofile", "", "write a CPU profile of the client to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *serve {
		return serveNetwork(ctx, *nodes, stdin, stdout)
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	net, err := startNetwork(ctx, *nodes)
	if err != nil {
		return err
	}
	defer net.close()
	fmt.Fprintf(stdout, "%d nodes, %d records measured, per record:\n\n", *nodes, *sample)
	all, err := measure(ctx, net, stdout, *records, *sample)
	if err != nil {
		return err
	}
	if err := announcing(ctx, net, stdout); err != nil {
		return err
	}
	if *realNodes > 0 {
		if err := realNetwork(ctx, stdout, *realNodes, window(200, 200, 255)); err != nil {
			return err
		}
	}
	bytesInKV, err := recordSize(ctx, stdout, *stored)
	if err != nil {
		return err
	}
	printNeeds(stdout, all, bytesInKV)
	printGoals(stdout, all)
	return nil
}

// measure prints a table of the densities, and returns its figures.
func measure(ctx context.Context, net *network, out io.Writer, densities string, sample int) (all []figures, err error) {
	dir, err := os.MkdirTemp("", "dhtbench")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fmt.Fprintln(out, "| records | operation | gets | puts | datagrams out + in | bytes | client CPU µs | holders of true 8 | bans | failed |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|")
	for i, field := range strings.Split(densities, ",") {
		count, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("-records: %w", err)
		}
		b := bench{
			net: net, out: out, file: filepath.Join(dir, field), count: count,
			items: window(count, sample, 0), fresh: window(sample, sample, byte(2+i)),
		}
		// Before and after, because the machine may be busier at one time than at another.
		before, err := b.getput(ctx, window(count, min(100, sample), 1))
		if err != nil {
			return nil, err
		}
		f, err := b.lifecycle(ctx)
		if err != nil {
			return nil, err
		}
		after, err := b.getput(ctx, window(count, min(100, sample), 1))
		if err != nil {
			return nil, err
		}
		f.getput = mean(before, after)
		all = append(all, f)
	}
	return all, nil
}
