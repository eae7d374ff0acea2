package relay

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// maxElements bounds the elements of a relay message; NIP-01 and NIP-77 need
// at most four.
const maxElements = 8

var errNotArray = errors.New("not a JSON array")

// splitArray returns the elements of a JSON array as they stand, without
// copying: an event is decoded once, by whoever wants it, and not on the
// connection's reading goroutine. It finds where elements end and leaves it to
// their decoder whether they are valid.
func splitArray(data []byte) ([][]byte, error) {
	data = bytes.TrimSpace(data)
	if len(data) < 2 || data[0] != '[' || data[len(data)-1] != ']' {
		return nil, errNotArray
	}
	body := data[1 : len(data)-1]
	var elements [][]byte
	start, depth, quoted := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth < 0 {
				return nil, errNotArray
			}
		case c == ',' && depth == 0:
			if len(elements) == maxElements-1 {
				return nil, fmt.Errorf("more than %d elements", maxElements)
			}
			elements = append(elements, bytes.TrimSpace(body[start:i]))
			start = i + 1
		}
	}
	if quoted || depth != 0 {
		return nil, errNotArray
	}
	return append(elements, bytes.TrimSpace(body[start:])), nil
}

// stringAt decodes element i as a string; "" where there is none.
func stringAt(elements [][]byte, i int) string {
	if text, ok := plainAt(elements, i); ok {
		return string(text)
	}
	var s string
	if i < len(elements) && json.Unmarshal(elements[i], &s) != nil {
		return ""
	}
	return s
}

// trueAt reports whether element i is true, which a few write as a string.
func trueAt(elements [][]byte, i int) bool {
	return i < len(elements) && string(bytes.ToLower(bytes.Trim(elements[i], `"`))) == "true"
}

// plainAt returns what element i quotes, if that is a string of printable ASCII
// without an escape. Nearly all are, and some are megabytes of hex.
func plainAt(elements [][]byte, i int) (text []byte, ok bool) {
	if i >= len(elements) || len(elements[i]) < 2 || elements[i][0] != '"' {
		return nil, false
	}
	text = elements[i][1 : len(elements[i])-1]
	for _, c := range text {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return nil, false
		}
	}
	return text, elements[i][len(text)+1] == '"'
}

// hexAt decodes element i as a string of hex.
func hexAt(elements [][]byte, i int) ([]byte, error) {
	text, ok := plainAt(elements, i)
	if !ok {
		text = []byte(stringAt(elements, i))
	}
	out := make([]byte, hex.DecodedLen(len(text)))
	_, err := hex.Decode(out, text)
	return out, err
}

// reasonAt decodes element i like [stringAt], and takes it as it stands where it
// is not valid: khatru does not escape the reasons of its NEG-ERROR.
func reasonAt(elements [][]byte, i int) string {
	if s := stringAt(elements, i); s != "" || i >= len(elements) {
		return s
	}
	return string(bytes.Trim(elements[i], `"`))
}

// brokenNegErr reads a NEG-ERR with a reason that was not escaped and has an
// odd number of quotes: label, quoted id, the rest.
func brokenNegErr(data []byte) (id, reason string, ok bool) {
	rest, found := bytes.CutPrefix(bytes.TrimSpace(data), []byte(`["NEG-ERR`))
	if !found {
		return "", "", false
	}
	parts := bytes.SplitN(rest, []byte(`"`), 5)
	if len(parts) < 5 {
		return "", "", false
	}
	// parts: end of label, comma, id, comma, reason and what follows.
	reason = string(bytes.TrimRight(parts[4], "\"] \n"))
	return string(parts[2]), reason, true
}
