package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/run"
)

type dlqCmd struct {
	Ls    dlqLsCmd    `cmd:"" help:"List dead letters."`
	Show  dlqShowCmd  `cmd:"" help:"Show dead letters in full."`
	Retry dlqRetryCmd `cmd:"" help:"Hand dead letters back to their stage."`
	Drop  dlqDropCmd  `cmd:"" help:"Remove dead letters for good."`
}

// dlqFlags select dead letters.
type dlqFlags struct {
	remote
	Seq    []uint64 `arg:"" optional:"" help:"Their numbers, as ls prints them."`
	Stage  string   `enum:",ingest,dhtworker,syncworker,fetcher" default:"" help:"Only those of that stage: ingest, dhtworker, syncworker or fetcher."`
	Since  string   `placeholder:"WHEN" help:"Only from then on: Unix seconds, a date, a time, or how long ago (72h)."`
	Reason string   `placeholder:"TEXT" help:"Only those whose reason contains that text, in any case."`
	JSON   bool     `help:"Print one JSON object for each dead letter."`
}

// Help is the long help text of all four.
func (*dlqFlags) Help() string {
	return "A message that its stage cannot process is kept for 30 days as a dead letter, with the reason. One that is " +
		"retried keeps its history, if it ends there again.\n\n" +
		"Exit codes: 0 ok, 1 failed, 2 usage, 3 failed for some dead letters, 130 interrupted."
}

var errDLQPartly = fmt.Errorf("%w: some dead letters were passed over, see above", errPartly)

// each calls f for every dead letter that is selected. A failure of one is
// told, and the others go on.
func (c *dlqFlags) each(ctx context.Context, o *output, f func(*bus.DLQ, bus.DeadLetter) error) (err error) {
	which := bus.DeadLetterFilter{Seqs: c.Seq, Stage: c.Stage, Reason: c.Reason}
	if c.Since != "" {
		since, err := config.ParseWhen(c.Since, time.Now())
		if err != nil {
			return usage("--since: %v", err)
		}
		which.Since = time.Unix(since, 0)
	}
	js, err := c.connect(ctx, o)
	if err != nil {
		return err
	}
	defer disconnect(js, &err)
	letters, err := bus.OpenDLQ(ctx, js)
	if err != nil {
		return err
	}
	failed := false
	for letter, err := range letters.Each(ctx, which) {
		if err == nil {
			err = f(letters, letter)
		}
		switch {
		case err == nil:
		case letter.Seq == 0 || ctx.Err() != nil:
			return err
		default:
			failed = true
			complain(o.err, c.JSON, run.ExitPartly, err)
		}
	}
	if failed {
		return errDLQPartly
	}
	return nil
}

// named refuses to change every dead letter by mistake.
func (c *dlqFlags) named(all bool) error {
	if all || len(c.Seq) > 0 || c.Stage+c.Since+c.Reason != "" {
		return nil
	}
	return usage("which? Give numbers, --stage, --since or --reason, or --all")
}

type dlqLsCmd struct{ dlqFlags }

// Run prints one line per dead letter, oldest first.
func (c *dlqLsCmd) Run(ctx context.Context, o *output) error {
	if c.JSON {
		return c.each(ctx, o, func(_ *bus.DLQ, l bus.DeadLetter) error { return o.json(l) })
	}
	w := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SEQ\tTIME\tSTAGE\tATTEMPTS\tSUBJECT\tREASON")
	err := c.each(ctx, o, func(_ *bus.DLQ, l bus.DeadLetter) error {
		_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\t%s\n", l.Seq, when(l.Time), l.Stage, l.Attempts, printable(l.Subject), printable(l.Reason))
		return err
	})
	return errors.Join(err, w.Flush())
}

type dlqShowCmd struct{ dlqFlags }

// Run prints all that is known of dead letters.
func (c *dlqShowCmd) Run(ctx context.Context, o *output) error {
	return c.each(ctx, o, func(_ *bus.DLQ, l bus.DeadLetter) error {
		if c.JSON {
			return o.json(l)
		}
		fmt.Fprintf(o.out, "dead letter %d\n  stage     %s\n  subject   %s\n", l.Seq, l.Stage, printable(l.Subject))
		for _, d := range slices.Concat(l.History, []contract.Failure{{Reason: l.Reason, Attempts: l.Attempts, Time: l.Time}}) {
			fmt.Fprintf(o.out, "  %s  after %d attempts: %s\n", when(d.Time), d.Attempts, printable(d.Reason))
		}
		_, err := fmt.Fprintf(o.out, "  %d bytes: %s\n", cmp.Or(l.Size, len(l.Data)), printable(string(l.Data)))
		return err
	})
}

type dlqRetryCmd struct {
	dlqFlags
	All bool `help:"All of them."`
}

// Run hands them back one after the other.
func (c *dlqRetryCmd) Run(ctx context.Context, o *output) error {
	return c.change(ctx, o, c.All, "retried", (*bus.DLQ).Retry)
}

type dlqDropCmd struct {
	dlqFlags
	All bool `help:"All of them."`
}

// Run removes them one after the other.
func (c *dlqDropCmd) Run(ctx context.Context, o *output) error {
	return c.change(ctx, o, c.All, "dropped", (*bus.DLQ).Drop)
}

// changed is what retry and drop print; its fields are stable.
type changed struct {
	Seq  uint64 `json:"seq"`
	Done string `json:"done"` // retried or dropped
}

func (c *dlqFlags) change(ctx context.Context, o *output, all bool, done string,
	do func(*bus.DLQ, context.Context, bus.DeadLetter) error,
) error {
	if err := c.named(all); err != nil {
		return err
	}
	return c.each(ctx, o, func(letters *bus.DLQ, l bus.DeadLetter) error {
		if err := do(letters, ctx, l); err != nil {
			return err
		}
		if c.JSON {
			return o.json(changed{l.Seq, done})
		}
		_, err := fmt.Fprintf(o.out, "%s %d\n", done, l.Seq)
		return err
	})
}

func when(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }
