package nostr

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// MarshalJSON writes the event with the escapes of its NIP-01 serialisation and
// no others, so that it is no longer than its author's. Such text passes
// through [Encode] as it is, while [encoding/json.Marshal] escapes it anew.
func (e Event) MarshalJSON() ([]byte, error) { return e.appendJSON(make([]byte, 0, e.size())), nil }

func (e *Event) appendJSON(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, e.ID)
	b = append(b, `,"pubkey":`...)
	b = appendString(b, e.PubKey)
	b = append(b, `,"created_at":`...)
	b = strconv.AppendInt(b, e.CreatedAt, 10)
	b = append(b, `,"kind":`...)
	b = strconv.AppendInt(b, int64(e.Kind), 10)
	b = append(b, `,"tags":`...)
	b = appendTags(b, e.Tags)
	b = append(b, `,"content":`...)
	b = appendString(b, e.Content)
	b = append(b, `,"sig":`...)
	return append(appendString(b, e.Sig), '}')
}

// size is how many bytes the event takes as JSON, most often.
func (e *Event) size() int {
	size := 384 + len(e.Content) + len(e.Content)/16
	for _, t := range e.Tags {
		size += 3
		for _, s := range t {
			size += len(s) + 3
		}
	}
	return size
}

// appendTags writes missing tags as none: relays refuse null.
func appendTags(b []byte, tags []Tag) []byte {
	b = append(b, '[')
	for i, t := range tags {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for j, s := range t {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendString(b, s)
		}
		b = append(b, ']')
	}
	return append(b, ']')
}

// appendString quotes s as JavaScript's JSON.stringify does, which is the text
// that every signer hashes: the seven escapes of NIP-01, \u00XX for the other
// control characters, everything else verbatim. Bytes that are no UTF-8 become
// U+FFFD, as JSON cannot have them.
func appendString(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	b = append(b, '"')
	from := 0 // what is verbatim is copied at once
	for i := range len(s) {
		c := s[i]
		if !escaped[c] {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		default:
			const digits = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	return append(append(b, s[from:]...), '"')
}

// escaped are the bytes that do not stand for themselves in a JSON string.
var escaped = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()
