package deny

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/relaymesh/relaymesh/internal/lines"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What is the kind of an [Entry].
type What string

// What can be denied.
const (
	Key  What = "key"  // a public key or DHT key, 64 hex digits
	ID   What = "id"   // of an event, 64 hex digits
	Kind What = "kind" // of events, a decimal number
	Host What = "host" // of relays, with all below it
	Word What = "word" // one or more, folded
)

// Entry is one line of a deny list, its value as [List] compares it.
type Entry struct {
	What  What   `json:"what"`
	Value string `json:"value"`
}

// String is the entry as a line.
func (e Entry) String() string { return string(e.What) + " " + e.Value }

// Codes read what people write for a key and for an event: hex or a NIP-19 code.
// They return 64 lower-case hex digits.
type Codes struct {
	Key, ID func(string) (string, error)
}

const (
	// maxLine is how long a line may be, in bytes.
	maxLine = 1 << 10
	// maxWords bounds the words: each is looked for in every event.
	maxWords = 1000
	// maxErrors is how many lines an error names.
	maxErrors = 10
)

// Line is a line of a file: its number, from 1, and what it denies.
type Line struct {
	Number int
	Entry  Entry
}

// Parse reads a file of entries, one a line; an empty line, and one that begins
// with #, denies nothing. An error names the lines that are wrong.
func Parse(text string, codes Codes) ([]Line, error) {
	var all []Line
	var errs []error
	words := 0
	in := lines.NewReader(strings.NewReader(text), maxLine)
	for len(errs) < maxErrors {
		row, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // there is no more to be read
			errs = append(errs, err)
			break
		}
		if len(row.Text) == 0 || row.Text[0] == '#' {
			continue
		}
		e, err := parseRow(row, codes)
		if e.What == Word {
			words++
		}
		if err == nil && words > maxWords {
			err = fmt.Errorf("more than %d words: each is looked for in every event", maxWords)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", row.Number, err))
			continue
		}
		all = append(all, Line{row.Number, e})
	}
	return all, errors.Join(errs...)
}

// parseRow reads the entry of a line of a file.
func parseRow(row lines.Line, codes Codes) (e Entry, err error) {
	switch {
	case row.TooLong:
		return e, fmt.Errorf("more than %d bytes", maxLine)
	case !utf8.Valid(row.Text) || bytes.IndexByte(row.Text, 0) >= 0:
		return e, errors.New("is no text in UTF-8")
	}
	return ParseEntry(string(row.Text), codes)
}

// ParseEntry reads one entry, such as
//
//	key npub1...
//	id note1...
//	kind 1984
//	host relay.example.com
//	word buy followers
//
// The word in front may be left out before a NIP-19 code. Behind a space and #
// follows a comment, but not in a word, which is the rest of the line.
func ParseEntry(text string, codes Codes) (e Entry, err error) {
	if len(text) > maxLine {
		return e, fmt.Errorf("%d bytes, at most %d are read", len(text), maxLine)
	}
	what, rest, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(text), "\t", " "), " ")
	if code := withoutScheme(what); isCode(code, "npub") || isCode(code, "nprofile") {
		what, rest = string(Key), code+" "+rest
	} else if isCode(code, "note") || isCode(code, "nevent") {
		what, rest = string(ID), code+" "+rest
	}
	if isCode(withoutScheme(what), "nsec") {
		return e, errors.New("a secret key (nsec), which belongs in no list: want key and the npub1... of it")
	}
	e.What = What(strings.ToLower(what))
	if e.What != Word {
		rest, _, _ = strings.Cut(" "+rest, " #")
	}
	value := strings.TrimSpace(rest)
	if value == "" {
		return e, fmt.Errorf("%q: want key, id, kind, host or word, and a value behind it", nostr.Clip(text))
	}
	switch e.What {
	case Key:
		e.Value, err = readCode(value, codes.Key)
	case ID:
		e.Value, err = readCode(value, codes.ID)
	case Kind:
		e.Value, err = parseKind(value)
	case Host:
		e.Value, err = parseHost(value)
	case Word:
		if e.Value = fold(value); e.Value == "" {
			err = errors.New("nothing of it can be seen")
		}
	default:
		return e, fmt.Errorf("%q: want key, id, kind, host or word", nostr.Clip(what))
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", e.What, err)
	}
	return e, err
}

func withoutScheme(text string) string {
	if scheme, rest, found := strings.Cut(text, ":"); found && strings.EqualFold(scheme, "nostr") {
		return rest
	}
	return text
}

func isCode(text, prefix string) bool { return strings.HasPrefix(strings.ToLower(text), prefix+"1") }

func readCode(value string, read func(string) (string, error)) (string, error) {
	value = withoutScheme(value)
	if hex := strings.ToLower(value); nostr.IsHex(hex, 32) {
		return hex, nil // also of a DHT key, which is no point of Nostr's curve
	}
	return read(value)
}

func parseKind(value string) (string, error) {
	kind, err := strconv.ParseUint(value, 10, 16)
	if err != nil {
		return "", fmt.Errorf("%q: want a number from 0 to 65535", nostr.Clip(value))
	}
	return strconv.FormatUint(kind, 10), nil
}

// parseHost reads a host as the URLs of relays have it.
func parseHost(value string) (string, error) {
	host := value
	if !strings.Contains(host, "://") {
		if strings.Count(host, ":") > 1 && !strings.HasPrefix(host, "[") {
			host = "[" + host + "]"
		}
		host = "wss://" + strings.TrimPrefix(host, "*.")
	}
	normalized, err := nostr.NormalizeRelayURL(host, true)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(normalized)
	if err != nil {
		return "", err
	}
	if u.Port() != "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return "", fmt.Errorf("%q: want a name or an address alone: a host is denied with all its ports and paths", nostr.Clip(value))
	}
	return strings.TrimSuffix(u.Hostname(), "."), nil
}
