package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/relaymesh/relaymesh/internal/testkit/demo"
)

type demoCmd struct {
	Events      string        `placeholder:"FILE" type:"existingfile" help:"JSONL of events or of [\"EVENT\", ...] messages to fill the relays with; without it the demo signs its own."`
	JSON        bool          `help:"Print one JSON object."`
	Verbose     bool          `short:"v" help:"Show the log of the pipeline."`
	StepTimeout time.Duration `default:"60s" help:"When a step has failed."`
	Without     []string      `hidden:"" help:"Stages to leave out, which must make the demo fail."`
}

// Run runs the demo; its failure is the command's.
func (c *demoCmd) Run(ctx context.Context, o *output) error {
	options := demo.Options{StepTimeout: c.StepTimeout, Without: c.Without}
	if c.Verbose {
		options.Log = o.err
	}
	if c.Events != "" {
		file, err := os.Open(c.Events)
		if err != nil {
			return usage("--events: %v", err)
		}
		defer file.Close()
		var unreadable int
		if options.Events, unreadable, err = demo.ReadEvents(file); err != nil || len(options.Events) == 0 {
			return usage("--events: %s: %d events, %d lines that cannot be read, %v", c.Events, len(options.Events), unreadable, err)
		}
		if unreadable > 0 {
			fmt.Fprintf(o.err, "passed over %d lines of %s that cannot be read\n", unreadable, c.Events)
		}
	}
	if !c.JSON {
		options.Progress = func(s demo.Step) {
			mark := "ok  "
			if !s.OK {
				mark = "FAIL"
			}
			fmt.Fprintf(o.out, "%s %6d ms  %s\n", mark, s.Millis, s)
		}
	}
	report, err := demo.Run(ctx, options)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(o.out).Encode(report); err != nil {
			return err
		}
	}
	if !report.OK {
		return errors.New("demo: a comparison did not hold")
	}
	return nil
}
