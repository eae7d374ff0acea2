package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench/all:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be stopped
	}
}

// row is a line of the table.
type row struct{ target, goal, measured, bound, verdict string }

func run(ctx context.Context, out io.Writer, targets []string) error {
	var rows []row
	for _, target := range targets {
		fmt.Fprintf(out, "== %s\n", target)
		cmd := exec.CommandContext(ctx, "make", "--no-print-directory", target)
		cmd.Stderr = os.Stderr
		printed, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return err
		}
		of := goals(io.TeeReader(printed, out), target)
		rows = append(rows, verdicts(target, of, cmd.Wait())...)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	short := table(out, rows)
	if short > 0 {
		return fmt.Errorf("%d of %d goals are missed", short, len(rows))
	}
	return nil
}

// line is how a benchmark tells of a goal.
var line = regexp.MustCompile(`^goal (.+): (\S+) \(want ([<>]=) (\S+)\) (ok|short)$`)

// goals reads what a target prints. A line that begins as one of a goal and reads
// otherwise is a row that is short, so that no goal is lost by how it is printed.
func goals(printed io.Reader, target string) (rows []row) {
	lines := bufio.NewScanner(printed)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if m := line.FindStringSubmatch(lines.Text()); m != nil {
			rows = append(rows, row{target, m[1], m[2], m[3] + " " + m[4], m[5]})
		} else if what, ok := strings.CutPrefix(lines.Text(), "goal "); ok {
			rows = append(rows, row{target, what, "not a line of a goal", "-", "short"})
		}
	}
	_, _ = io.Copy(io.Discard, printed) // so that a line beyond the buffer does not block it
	return rows
}

// verdicts adds a row for a target that ended otherwise than by a missed goal.
func verdicts(target string, of []row, err error) []row {
	missed := false
	for _, r := range of {
		missed = missed || r.verdict != "ok"
	}
	var exit *exec.ExitError
	switch {
	case err == nil && len(of) > 0, errors.As(err, &exit) && missed:
		return of
	case err == nil:
		err = errors.New("it tells of no goal")
	}
	return append(of, row{target, "it ends well", err.Error(), "no error", "short"})
}

// table prints the rows, and returns how many goals are missed.
func table(out io.Writer, rows []row) (short int) {
	fmt.Fprint(out, "\n| benchmark | goal | measured | bound | |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", r.target, r.goal, r.measured, r.bound, r.verdict)
		if r.verdict != "ok" {
			short++
		}
	}
	return short
}
