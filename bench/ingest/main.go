package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/ingest:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	if len(os.Args) == 2 && os.Args[1] == "secp" {
		runtime.GOMAXPROCS(1)
		return printSecp()
	}
	b := bench{}
	flag.IntVar(&b.events, "events", 40_000, "new events that go through the pipeline")
	only := flag.String("only", "", "verification, process, or stage, which is the part of process with new events")
	flag.StringVar(&b.profile, "profile", "", "write CPU and allocation profiles of the stage to this name with .cpu and .allocs")
	flag.Parse()
	if b.dir, err = os.MkdirTemp("", "bench-ingest-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	b.stageOnly = *only == "stage"
	if *only == "" || *only == "verification" {
		procs := runtime.GOMAXPROCS(1) // so that the collector's share is counted once
		err := b.verification()
		runtime.GOMAXPROCS(procs)
		if err != nil {
			return err
		}
	}
	if *only != "verification" {
		if err := b.processes(); err != nil {
			return err
		}
	}
	if b.missed {
		return errors.New("a goal is missed")
	}
	return nil
}

type bench struct {
	dir       string
	events    int
	stageOnly bool
	profile   string // none if empty
	missed    bool
}

// least prints a goal's line: what was measured and what is wanted at least.
func (b *bench) least(what string, measured, bound float64) {
	b.goal(what, measured, ">=", bound, measured >= bound)
}

func (b *bench) most(what string, measured, bound float64) {
	b.goal(what, measured, "<=", bound, measured <= bound)
}

func (b *bench) goal(what string, measured float64, relation string, bound float64, ok bool) {
	state := "ok"
	if !ok {
		state, b.missed = "short", true
	}
	fmt.Printf("goal %s: %.4g (want %s %g) %s\n", what, measured, relation, bound, state)
}
