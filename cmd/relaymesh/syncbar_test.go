package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/sys/unix"

	"github.com/relaymesh/relaymesh/internal/run"
)

// terminal returns both ends of a pseudo terminal of so many columns: what is
// written to the second is read from the first.
func terminal(t *testing.T, columns uint16) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})
	}
	if err != nil {
		t.Fatal(err)
	}
	return screen, tty
}

// shown is what a bar has drawn.
func shown(t *testing.T, columns uint16, draw func(b *syncBar)) string {
	t.Helper()
	screen, tty := terminal(t, columns)
	b := newSyncBar(tty, true, false)
	if b == nil {
		t.Fatal("a terminal is taken for none")
	}
	draw(b)
	tty.Close()
	out, err := io.ReadAll(screen)
	if err != nil && !errors.Is(err, syscall.EIO) { // how the end of a terminal reads
		t.Fatal(err)
	}
	return string(out)
}

func TestSyncBarOnATerminal(t *testing.T) {
	half := run.SyncFigures{OnlyA: 200, OnlyB: 5000, ToB: 90, HeldBack: 10}
	draw := func(b *syncBar) { b.draw(half) }
	out := shown(t, 200, draw)
	if !strings.HasPrefix(out, "\r\x1b[K") || !strings.Contains(out, "50%") ||
		!strings.Contains(ansi.Strip(out), "found 200 only in A, 5000 only in B") {
		t.Errorf("%q", out)
	}
	if got := ansi.StringWidth(strings.TrimPrefix(shown(t, 50, draw), "\r")); got >= 50 {
		t.Errorf("%d columns of 50", got)
	}
	t.Setenv("NO_COLOR", "1")
	if out := shown(t, 200, draw); strings.Count(out, "\x1b") != 1 || !strings.Contains(out, "50%") {
		t.Errorf("colours: %q", out)
	}
	if out := shown(t, 200, (*syncBar).clear); out != "\r\x1b[K" {
		t.Errorf("%q", out)
	}
	t.Setenv("TERM", "dumb")
	_, tty := terminal(t, 80)
	defer tty.Close()
	if newSyncBar(tty, true, true) != nil || newSyncBar(&bytes.Buffer{}, true, true) != nil {
		t.Error("a bar where there can be none")
	}
}

// Where no bar can be, it is one JSON object a second.
func TestProgressOffATerminal(t *testing.T) {
	t.Parallel()
	var steps bytes.Buffer
	p := &progress{to: io.Discard, steps: &steps, begun: time.Now()}
	for range 100 {
		p.step(run.SyncFigures{OnlyA: 3})
	}
	if got := decode[report](t, steps.String()); got.Type != "progress" || got.OnlyA != 3 {
		t.Errorf("%s", steps.String())
	}
}
