package console

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// functions are those of the templates.
var functions = template.FuncMap{
	"text": text, "short": short, "subject": subject, "rate": rateText, "count": count, "age": age, "ago": ago, "until": until, "when": when,
	"mib":     func(bytes int64) string { return strconv.FormatFloat(float64(bytes)/(1<<20), 'f', 1, 64) },
	"figures": SyncFigures, "about": about, "unix": unix, "number": func(n int) string { return count(uint64(max(0, n))) },
}

// text makes a stranger's text fit to be shown: no control characters, none
// that change the direction of what stands around them, and at most limit
// characters.
func text(limit int, s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > limit {
			b.WriteRune('…')
			break
		}
		switch {
		case r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r == '\n' || r == '\t':
			b.WriteRune(' ')
		default:
			b.WriteRune('\uFFFD')
		}
	}
	return b.String()
}

// short shows the ends of a key, or of another text.
func short(s string) string {
	const head, tail = 8, 6
	all := []rune(text(200, s))
	if len(all) <= head+tail+1 {
		return string(all)
	}
	return string(all[:head]) + "…" + string(all[len(all)-tail:])
}

// about shows a key by its ends, and another text as it is.
func about(s string) string {
	if nostr.IsHex(s, 32) {
		return short(s)
	}
	return text(80, s)
}

// subject shows the last token of a subject, if it is a key, by its ends.
func subject(s string) string {
	const longest = 24
	if i := strings.LastIndexByte(s, '.'); i >= 0 && len(s)-i > longest {
		return text(100, s[:i+1]) + short(s[i+1:])
	}
	return text(100, s)
}

// SyncFigures says how far a running sync has come, "" if there is nothing to say yet.
func SyncFigures(s RunningSync) string {
	if s.Passes+s.Messages+s.Missing == 0 {
		return ""
	}
	text := fmt.Sprintf("pass %d: %d missing, %d stored, %d sent", s.Passes+1, s.Missing, s.Stored, s.Sent)
	if s.Left > 0 {
		text += fmt.Sprintf(", %d left", s.Left)
	}
	if s.Windows > 1 {
		text += fmt.Sprintf("; %d spans of time", s.Windows)
	}
	return text + fmt.Sprintf("; %d messages, %d KiB", s.Messages, s.Bytes>>10)
}

// rateText is a rate per second; a dash if it is not known.
func rateText(f *float64) string {
	switch {
	case f == nil:
		return "–"
	case *f == 0:
		return "0"
	case *f < 9.95:
		return strconv.FormatFloat(*f, 'f', 1, 64)
	}
	return count(uint64(math.Round(*f)))
}

// count writes a number with thin spaces between thousands, large ones
// rounded.
func count(n uint64) string {
	if n >= 10_000_000 {
		return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " M"
	}
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u2009" + s[i:]
	}
	return s
}

// age writes a time span by its largest unit or two.
func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return "< 1 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// ago tells how long ago a time in Unix seconds is.
func ago(unix int64) string {
	if unix == 0 {
		return "never"
	}
	return age(max(0, time.Since(time.Unix(unix, 0)).Seconds())) + " ago"
}

// until tells how far ahead a time in Unix seconds is.
func until(unix int64) string {
	left := time.Until(time.Unix(unix, 0)).Seconds()
	switch {
	case unix == 0:
		return "–"
	case left < 0:
		return "due since " + age(-left)
	}
	return "in " + age(left)
}

func when(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }
