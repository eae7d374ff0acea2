// Package obs is how relaymesh is watched: logs, metrics and health.
package obs

import (
	"io"
	"log/slog"
	"os"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// NewLogger writes to w from that level on (debug, info, warn or error): JSON,
// or short lines for people where w is a terminal.
func NewLogger(w io.Writer, level string) *slog.Logger {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		least = slog.LevelInfo
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(traced{tint.NewTextHandler(w, &tint.Options{Level: least, NoColor: os.Getenv("NO_COLOR") != ""})})
	}
	return slog.New(traced{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least})})
}
