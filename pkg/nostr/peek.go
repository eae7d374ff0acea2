package nostr

import (
	"bytes"
)

// PeekID returns the value of the top-level "id" of a JSON object, as it is
// written there, without decoding the rest. It is for finding duplicates early:
// neither the value nor the JSON is checked. ok is false where there is no such
// string.
func PeekID(data []byte) (id string, ok bool) {
	depth, isKey, isID := 0, false, false
	for at := 0; at < len(data); {
		switch c := data[at]; c {
		case '"':
			end := stringEnd(data, at)
			if end < 0 {
				return "", false
			}
			text := data[at+1 : end-1]
			switch at = end; {
			case depth != 1:
			case isKey:
				isKey, isID = false, string(text) == "id"
			case isID:
				return string(text), true
			}
			continue
		case '{', '[':
			depth++
			isKey = depth == 1 && c == '{'
		case '}', ']':
			depth--
		case ',':
			isKey = depth == 1
		}
		at++
	}
	return "", false
}

// stringEnd returns where the string that begins at a quote is over, or -1.
func stringEnd(data []byte, at int) int {
	for at++; ; {
		n := bytes.IndexByte(data[at:], '"')
		if n < 0 {
			return -1
		}
		at += n + 1
		escapes := 0
		for data[at-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return at
		}
	}
}
