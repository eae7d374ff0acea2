package gateway

import (
	"bytes"
	"encoding/json"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// label is the kind of a message, as far as it matters here.
type label int

const (
	labelOther label = iota
	labelEvent
	labelReq
	labelClose
	labelAuth
	labelEOSE
	labelClosed
	labelOK
)

var labels = map[string]label{
	"EVENT": labelEvent, "REQ": labelReq, "CLOSE": labelClose, "AUTH": labelAuth, "EOSE": labelEOSE, "CLOSED": labelClosed, "OK": labelOK,
}

// labelOf returns the kind of a message, of which the beginning may be all there
// is.
func labelOf(text []byte) label { return readLabel(quotedLabel(text)) }

// quotedLabel returns the first element of a message as it stands, or nil where no
// string is complete.
func quotedLabel(text []byte) []byte {
	quoted, _ := firstString(skip(text, '['))
	return quoted
}

func readLabel(quoted []byte) label {
	if len(quoted) < 2 {
		return labelOther
	}
	if bytes.IndexByte(quoted, '\\') >= 0 {
		s, _ := unquote(quoted)
		return labels[s]
	}
	return labels[string(quoted[1:len(quoted)-1])]
}

// split returns the kind of a message, its second element as it stands, if that is
// a string, and what follows the comma after it, without the bracket at the end.
// Of AUTH and EVENT of a client, which has no such string, the rest begins with
// the second element.
func split(text []byte) (l label, id, rest []byte) {
	quoted, rest := firstString(skip(text, '['))
	if l = readLabel(quoted); l == labelOther {
		return l, nil, nil
	}
	id, after := firstString(skip(rest, ','))
	if id == nil {
		return l, nil, untilBracket(skip(rest, ','))
	}
	return l, id, untilBracket(skip(after, ','))
}

// skip passes over spaces and, after them, the byte c; it returns nil where there
// is another.
func skip(text []byte, c byte) []byte {
	text = bytes.TrimLeft(text, " \t\r\n")
	if len(text) == 0 || text[0] != c {
		return nil
	}
	return text[1:]
}

// firstString returns the JSON string that comes first, with its quotes, and what
// follows; nil where there is none.
func firstString(text []byte) (quoted, rest []byte) {
	text = bytes.TrimLeft(text, " \t\r\n")
	if len(text) == 0 || text[0] != '"' {
		return nil, text
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return text[:i+1], text[i+1:]
		}
	}
	return nil, text
}

func untilBracket(text []byte) []byte {
	text = bytes.TrimRight(text, " \t\r\n")
	return bytes.TrimSpace(bytes.TrimSuffix(text, []byte{']'}))
}

// unquote returns what a JSON string says; ok is false for what is none.
func unquote(quoted []byte) (s string, ok bool) {
	if len(quoted) < 2 {
		return "", false
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), true
	}
	return s, json.Unmarshal(quoted, &s) == nil
}

// mayName reports whether filters may name events, since they have ids or authors;
// most feeds are read by kind and time, and are not decoded.
func mayName(filters []byte) bool {
	return bytes.Contains(filters, []byte(`"ids"`)) || bytes.Contains(filters, []byte(`"authors"`)) || bytes.IndexByte(filters, '\\') >= 0
}

// filtersOf reads the filters of a REQ.
func filtersOf(text []byte) ([]nostr.Filter, error) {
	var filters []nostr.Filter
	all := append(append([]byte{'['}, text...), ']')
	if err := json.Unmarshal(all, &filters); err != nil {
		return nil, err
	}
	return filters, nil
}

// eventMessage makes an EVENT message of an event; id is a JSON string.
func eventMessage(id []byte, e *nostr.Event) []byte {
	event := nostr.Encode(e)
	b := make([]byte, 0, len(event)+len(id)+12)
	b = append(append(append(b, `["EVENT",`...), id...), ',')
	return append(append(b, event...), ']')
}
