package nostr

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns text of strangers as it may be shown on a terminal, in a log or
// on a page: in one line, and of at most that many bytes, with … for the rest.
// U+FFFD stands for every character that acts instead of being seen: control
// characters, of which escape sequences are made, those that turn the direction of
// writing, and those without width.
func Printable(s string, limit int) string {
	cut := len(s) > limit
	if cut {
		s = s[:limit]
		for end := len(s); end > 0 && len(s)-end < utf8.UTFMax; {
			if end--; utf8.RuneStart(s[end]) {
				if !utf8.FullRuneInString(s[end:]) {
					s = s[:end]
				}
				break
			}
		}
	}
	s = strings.Map(func(r rune) rune {
		if r != ' ' && Invisible(r) {
			return utf8.RuneError
		}
		return r
	}, s)
	if cut {
		s += "…"
	}
	return s
}

// Invisible reports whether a character is not seen: blanks, control characters,
// and those of format such as a zero-width space, which copies of text pick up.
func Invisible(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point)
}
