// Command relaymesh-demo builds a small world on loopback, runs relaymesh up in
// it, and shows step by step that what relaymesh promises holds. It is a
// program of its own since it links relays that relaymesh must not.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/demo"
)

type cli struct {
	Events      string        `placeholder:"FILE" type:"existingfile" help:"JSONL of events or of [\"EVENT\", ...] messages to fill the relays with; without it the demo signs its own."`
	Program     string        `placeholder:"FILE" type:"existingfile" help:"The relaymesh to show; by default the one beside this program."`
	JSON        bool          `help:"Print one JSON object."`
	Verbose     bool          `short:"v" help:"Show the log of the pipeline."`
	StepTimeout time.Duration `default:"60s" help:"When a step has failed."`
	Without     []string      `hidden:"" help:"Stages to leave out, which must make the demo fail."`
}

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// execute runs the demo and returns the exit code: data goes to stdout, errors
// to stderr.
func execute(args []string, stdout, stderr io.Writer) int {
	ctx, stop := run.Signals()
	defer stop()
	exit := -1
	var c cli
	parser := kong.Must(
		&c, kong.Name("relaymesh-demo"), kong.Writers(stdout, stderr), kong.Exit(func(code int) { exit = code }),
		kong.Description("Build a small world on loopback and show in it what relaymesh promises.\n\n"+run.ExitHelp),
	)
	_, err := parser.Parse(args)
	if exit >= 0 {
		return exit // help
	}
	options := demo.Options{StepTimeout: c.StepTimeout, Without: c.Without}
	if err == nil {
		err = c.fill(&options, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "relaymesh-demo: %v\n", err)
		return run.ExitUsage
	}
	report, err := demo.Run(ctx, options)
	if c.JSON {
		err = errors.Join(err, json.NewEncoder(stdout).Encode(report))
	}
	return exitCode(ctx, err, stderr)
}

func exitCode(ctx context.Context, err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return run.ExitOK
	case ctx.Err() != nil:
		return run.ExitInterrupted
	}
	fmt.Fprintf(stderr, "relaymesh-demo: %v\n", err)
	return run.ExitFailed
}

// fill translates the flags; an error is one of usage.
func (c *cli) fill(o *demo.Options, stdout, stderr io.Writer) error {
	if c.Verbose {
		o.Log = stderr
	}
	if !c.JSON {
		o.Progress = func(s demo.Step) {
			mark := "ok  "
			if !s.OK {
				mark = "FAIL"
			}
			fmt.Fprintf(stdout, "%s %6d ms  %s\n", mark, s.Millis, s)
		}
	}
	if o.Program = c.Program; o.Program == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("--program: %w", err)
		}
		o.Program = filepath.Join(filepath.Dir(self), "relaymesh")
	}
	if c.Events == "" {
		return nil
	}
	file, err := os.Open(c.Events)
	if err != nil {
		return fmt.Errorf("--events: %w", err)
	}
	defer file.Close()
	list, unreadable, err := demo.ReadEvents(file)
	if err != nil {
		return fmt.Errorf("--events: %s: %w", c.Events, err)
	}
	if len(list) == 0 {
		return fmt.Errorf("--events: %s: no events, %d lines that cannot be read", c.Events, unreadable)
	}
	if unreadable > 0 {
		fmt.Fprintf(stderr, "passed over %d lines of %s that cannot be read\n", unreadable, c.Events)
	}
	o.Events = list
	return nil
}
