package main

import (
	"fmt"
	"io"
	"os"

	bubbles "charm.land/bubbles/v2/progress"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"github.com/relaymesh/relaymesh/internal/run"
)

// syncBar draws the progress of a sync on a terminal, one line written over and
// over: how much of what has been found is done, and the figures.
type syncBar struct {
	to       *os.File
	up, down bool // what is written
	plain    bool // no colours
	bar      bubbles.Model
}

// newSyncBar returns nil if w is no terminal, or one that cannot write over a line.
func newSyncBar(w io.Writer, up, down bool) *syncBar {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return &syncBar{to: f, up: up, down: down, plain: os.Getenv("NO_COLOR") != "", bar: bubbles.New(bubbles.WithWidth(24))}
}

// draw writes the line.
func (b *syncBar) draw(f run.SyncFigures) {
	line := b.bar.ViewAs(b.share(f)) + " " + text(f)
	if b.plain {
		line = ansi.Strip(line)
	}
	if width, _, err := term.GetSize(int(b.to.Fd())); err == nil && width > 0 {
		line = ansi.Truncate(line, width-1, "…") // a line that wraps cannot be written over
	}
	fmt.Fprint(b.to, "\r\x1b[K", line)
}

// clear removes the line.
func (b *syncBar) clear() { fmt.Fprint(b.to, "\r\x1b[K") }

// share is the part of what has been found, and is to be written, that is done.
func (b *syncBar) share(f run.SyncFigures) float64 {
	found := 0
	if b.up {
		found += f.OnlyA
	}
	if b.down {
		found += f.OnlyB
	}
	if found == 0 {
		return 0
	}
	return min(1, float64(f.ToA+f.ToB+f.Refused+f.Undelivered+f.HeldBack)/float64(found))
}
