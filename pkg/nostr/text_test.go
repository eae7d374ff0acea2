package nostr_test

import (
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ünï — 日本 🙂":           "plain, ünï — 日本 🙂",
		"\x1b[2J\x1b]0;x\a":           "\uFFFD[2J\uFFFD]0;x\uFFFD",
		"a\u009bb\u0085\x7f":          "a\uFFFDb\uFFFD\uFFFD",
		"a\nb\tc\r":                   "a\uFFFDb\uFFFDc\uFFFD",
		"\u202etxt.exe\u2066":         "\uFFFDtxt.exe\uFFFD",
		"re\u200blay\u2060\ufeff":     "re\uFFFDlay\uFFFD\uFFFD",
		"\u2028\u2029\u00ad\u3164":    "\uFFFD\uFFFD\uFFFD\uFFFD",
		"\xff\xc3":                    "\uFFFD\uFFFD",
		strings.Repeat("ü", 25):       strings.Repeat("ü", 20) + "…",
		strings.Repeat("x", 39) + "ü": strings.Repeat("x", 39) + "…",
		strings.Repeat("x", 40):       strings.Repeat("x", 40),
	} {
		if got := nostr.Printable(text, 40); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
