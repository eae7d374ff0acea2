// Package obs is how relaymesh is watched: logs, metrics and health.
package obs

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxLogged is how many bytes of one text reach a log.
const maxLogged = 8 << 10

// printable makes texts fit for terminals that show the log, whoever wrote them. An
// error of several lines becomes one, and a duration has its unit.
func printable(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case time.Duration: // JSON would have its nanoseconds
		return slog.String(a.Key, v.String())
	case string:
		return slog.String(a.Key, nostr.Printable(v, maxLogged))
	case error:
		return slog.String(a.Key, nostr.Printable(strings.ReplaceAll(v.Error(), "\n", "; "), maxLogged))
	case []string:
		texts := make([]string, len(v))
		for i, text := range v {
			texts[i] = nostr.Printable(text, maxLogged)
		}
		return slog.Any(a.Key, texts)
	}
	return a
}

// NewLogger writes to w from that level on (debug, info, warn or error): JSON,
// or short lines for people where w is a terminal.
func NewLogger(w io.Writer, level string) *slog.Logger {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		least = slog.LevelInfo
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(traced{tint.NewTextHandler(w, &tint.Options{Level: least, NoColor: os.Getenv("NO_COLOR") != "", ReplaceAttr: printable})})
	}
	return slog.New(traced{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least, ReplaceAttr: printable})})
}
