package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/relaymesh/relaymesh/internal/edge/console"
	"github.com/relaymesh/relaymesh/internal/run"
)

type topCmd struct {
	remote
	JSON  bool          `help:"Print one JSON object, that of / of the console, and end."`
	Every time.Duration `default:"2s" help:"How often to look, on a terminal; elsewhere it looks once."`
}

// Help is the long help text.
func (*topCmd) Help() string {
	return "It counts what is stored once, and then what was written since.\n\n" + run.ExitHelp
}

// Run shows the overview until it is interrupted, or once.
func (c *topCmd) Run(ctx context.Context, o *output) (err error) {
	if c.Every < 100*time.Millisecond {
		return usage("--every: want 100ms or more")
	}
	js, err := c.connect(ctx, o)
	if err != nil {
		return err
	}
	defer disconnect(js, &err)
	looked, err := console.Look(ctx, js, nil)
	if err != nil {
		return err
	}
	if c.JSON {
		return o.json(looked.Overview)
	}
	screen, is := o.out.(*os.File)
	if !is || !term.IsTerminal(int(screen.Fd())) || os.Getenv("TERM") == "dumb" {
		return writeTop(o.out, looked.Overview)
	}
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		var text bytes.Buffer
		if err := writeTop(&text, looked.Overview); err != nil {
			return err
		}
		fmt.Fprint(screen, "\x1b[H\x1b[2J", text.String())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		next, err := console.Look(ctx, js, looked)
		if err != nil { // what was known stays on the screen
			fmt.Fprintf(screen, "\nNATS does not answer: %s\n", printable(err.Error()))
			continue
		}
		looked = next
	}
}

// after puts a separator before a text, if there is one.
func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}

// writeTop writes an overview as text.
func writeTop(to io.Writer, v console.Overview) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	if wrong := v.Wrong(); len(wrong) == 0 {
		fmt.Fprintln(w, "all is well")
	} else {
		for _, f := range wrong {
			fmt.Fprintf(w, "WRONG\t%s\t%s\n", printable(f.Name), printable(f.Found))
			if f.Do != "" {
				fmt.Fprintf(w, "\t\t→ %s\n", printable(f.Do))
			}
		}
	}
	s := v.Summary
	fmt.Fprintf(w, "\nfindable\t%d of %d users have a record that DHT nodes hold\n", s.Users.Findable, s.Users.All)
	var held []string
	for _, h := range s.Users.Holders {
		if h.To == 0 {
			held = append(held, fmt.Sprintf("by none %d", h.Users))
		} else {
			held = append(held, fmt.Sprintf("by %d to %d nodes %d", h.From, h.To, h.Users))
		}
	}
	fmt.Fprintf(w, "\tusers whose record is held: %s\n", strings.Join(held, ", "))
	fmt.Fprintf(w, "complete\tproved with %d of %d live relays, %d events missing\n", s.Proved.Complete, s.Proved.Live, s.Proved.Missing)
	for _, r := range s.Syncs {
		fmt.Fprintf(w, "\tsync with %s: %d of %d parts%s\n", printable(r.URL), r.Done, r.Of, after("; ", console.SyncFigures(r)))
	}
	if more := s.Running - len(s.Syncs); more > 0 {
		fmt.Fprintf(w, "\t%d more syncs run\n", more)
	}
	for _, p := range s.Passes {
		fmt.Fprintf(w, "\tsurvey of slice %s: %d of %d relays\n", printable(p.Slice), p.Looked, p.Of)
	}
	fmt.Fprintf(w, "notes\t%d wanted; in the last hour %d found, %d not found\n", v.Wanted(), v.Found(), v.Lost())
	for _, p := range v.Parts() {
		var figures []string
		for _, f := range p.Figures {
			figures = append(figures, fmt.Sprintf("%d %s", f.Count, f.What))
		}
		fmt.Fprintf(w, "%s\t%s: %s%s\n", p.Name, p.State(), strings.Join(figures, ", "), after("; ", printable(p.Wrong)))
	}
	fmt.Fprintln(w, "\nSTAGE\tSTATE\tRATE\tWAITING\tIN WORK\tDEAD LETTERS")
	for _, stage := range v.Stages {
		rate := "-"
		if stage.Rate != nil {
			rate = fmt.Sprintf("%.1f/s", *stage.Rate)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\n", stage.Name, stage.State(), rate, stage.Waiting, stage.InFlight, stage.DeadLetters)
	}
	return w.Flush()
}
