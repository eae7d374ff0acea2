package schnorr

import (
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// BareCode cuts off what stands around a NIP-19 code, or 64 hex digits or 40 of a DHT target, where
// people copy it from: blanks and invisible characters, quotes, brackets and other punctuation,
// "nostr:" (NIP-21) and "web+nostr:", an @, a link of Markdown, and the web page of a client whose
// address has it. Other text, as kind:pubkey:d, is returned without the blanks and quotes around it.
func BareCode(s string) string {
	s = strings.TrimFunc(s, nostr.Invisible)
	inner := strings.Map(func(r rune) rune {
		if nostr.Invisible(r) && !unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
	if _, target, found := strings.Cut(inner, "]("); found {
		inner = target
	}
	inner = withoutScheme(trimAround(inner))
	if page, ok := withoutHost(inner); ok {
		for _, word := range strings.FieldsFunc(page, outside) {
			if isCode(word) {
				return word
			}
		}
	}
	if isCode(inner) {
		return inner
	}
	return withoutScheme(unquoted(s))
}

// isCode reports whether a text begins like a code, or is hex of a usual length.
func isCode(s string) bool {
	lower := strings.ToLower(s)
	return codePrefix(s) != "" || nostr.IsHex(lower, 32) || nostr.IsHex(lower, 20)
}

// outside reports whether a character is none of a code.
func outside(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

func trimAround(s string) string { return strings.TrimFunc(s, outside) }

// withoutScheme cuts off the scheme of NIP-21, as often as it stands there.
func withoutScheme(s string) string {
	scheme, rest, found := strings.Cut(s, ":")
	if scheme = strings.ToLower(scheme); found && (scheme == "nostr" || scheme == "web+nostr") {
		return withoutScheme(strings.TrimPrefix(rest, "//"))
	}
	return strings.TrimPrefix(s, "@")
}

// withoutHost returns the path, query and fragment of the address of a web page, and its host if that
// begins with a code; ok is false for other text.
func withoutHost(s string) (rest string, ok bool) {
	scheme, rest, found := strings.Cut(s, "://")
	if found && !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") || strings.ContainsFunc(s, unicode.IsSpace) {
		return "", false
	}
	if !found {
		rest = s
	}
	host, page, slash := strings.Cut(rest, "/")
	if !found && (!slash || !strings.Contains(host, ".") || strings.Contains(host, ":")) {
		return "", false
	}
	if plain, err := url.PathUnescape(page); err == nil {
		page = plain
	}
	if name := strings.ToLower(host); slices.ContainsFunc(codePrefixes, func(p string) bool { return strings.HasPrefix(name, p+"1") }) {
		page = host + "/" + page
	}
	return page, true
}

// quotes are what people put around a text, in pairs.
var quotes = []string{`""`, "''", "``", "“”", "„“", "„”", "‘’", "‚‘", "«»", "»«", "‹›", "<>", "()", "[]", "{}", "「」"}

// unquoted cuts off a pair of quotes or brackets, and no other: the d of an address may end with
// anything.
func unquoted(s string) string {
	for _, pair := range quotes {
		runes := []rune(pair)
		inner, begins := strings.CutPrefix(s, string(runes[0]))
		if inner, ends := strings.CutSuffix(inner, string(runes[1])); begins && ends {
			return unquoted(strings.TrimFunc(inner, nostr.Invisible))
		}
	}
	return s
}
