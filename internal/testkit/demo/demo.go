package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Options of a demo.
type Options struct {
	// Events fill the relays; they must verify. Without them the demo signs
	// some of its own.
	Events []nostr.Event
	// Program is the path of the relaymesh that is shown.
	Program string
	// StepTimeout is when a step has failed.
	StepTimeout time.Duration
	// Without lists stages that are left out.
	Without []string
	// Log takes the log of the pipeline; nil keeps its end for the case that
	// a step fails.
	Log io.Writer
	// Progress, if set, is called after every step.
	Progress func(Step)

	// pipeline starts the pipeline; nil is relaymesh up.
	pipeline func(ctx context.Context, w *world, o Options) (pipeline, error)
}

// Report is how a demo went. OK is true if every comparison held.
type Report struct {
	Steps []Step `json:"steps"`
	OK    bool   `json:"ok"`
}

// Step is one thing shown. Figures are what was counted; Why is what did not
// hold.
type Step struct {
	Name    string         `json:"name"`
	OK      bool           `json:"ok"`
	Millis  int64          `json:"ms"`
	Figures map[string]any `json:"figures"`
	Why     string         `json:"why,omitempty"`
}

// String is the step in one line: name, figures in the order of their names,
// and what went wrong.
func (s Step) String() string {
	var b strings.Builder
	b.WriteString(s.Name)
	for _, key := range slices.Sorted(maps.Keys(s.Figures)) {
		fmt.Fprintf(&b, "  %s=%v", key, s.Figures[key])
	}
	if s.Why != "" {
		b.WriteString("  " + s.Why)
	}
	return b.String()
}

// ErrNotHeld says that a comparison did not hold: the last of the report's
// steps.
var ErrNotHeld = errors.New("a comparison did not hold")

// Run builds the world and goes through the steps until one fails. The error is
// [ErrNotHeld], one of building the world, or the context's.
func Run(ctx context.Context, o Options) (Report, error) {
	if len(o.Events) == 0 {
		made, err := MakeEvents(500, time.Now().Unix())
		if err != nil {
			return Report{}, err
		}
		o.Events = made
	}
	begun := time.Now()
	buildCtx, cancel := context.WithTimeout(ctx, o.StepTimeout)
	w, err := newWorld(buildCtx, o)
	cancel()
	if err != nil {
		return Report{}, fmt.Errorf("couldn't build the world: %w", err)
	}
	defer w.close()
	report := Report{OK: true}
	record := func(s Step) bool {
		report.Steps = append(report.Steps, s)
		report.OK = report.OK && s.OK
		if o.Progress != nil {
			o.Progress(s)
		}
		return s.OK
	}
	record(Step{Name: "a world on loopback", OK: true, Millis: time.Since(begun).Milliseconds(), Figures: map[string]any{
		"dht_nodes": len(w.dht.Nodes), "relays": len(w.relays) + 1, "events": len(o.Events),
	}})
	for _, s := range steps {
		begun, figures := time.Now(), map[string]any{}
		stepCtx, cancel := context.WithTimeout(ctx, o.StepTimeout)
		err := s.run(stepCtx, w, figures)
		cancel()
		done := Step{Name: s.name, OK: err == nil, Millis: time.Since(begun).Milliseconds(), Figures: figures}
		if err != nil {
			done.Why = err.Error()
		}
		if !record(done) {
			w.explain()
			return report, cmp.Or(ctx.Err(), ErrNotHeld)
		}
	}
	return report, nil
}
