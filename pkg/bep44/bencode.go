package bep44

import (
	"bytes"
	"strconv"
)

// maxDepth bounds nested lists and dictionaries, so that a hostile value cannot exhaust the stack.
const maxDepth = 32

// ScanValue splits the first bencoded value off b. It accepts canonical bencoding only: no leading zeros, no -0,
// dictionary keys sorted and unique, at most 32 levels deep, integers within int64. Both results are slices of b; a
// length is never believed beyond the bytes that are there. The error is [ErrMalformed].
func ScanValue(b []byte) (value, rest []byte, err error) {
	rest, err = skipValue(b, maxDepth)
	if err != nil {
		return nil, nil, err
	}
	return b[:len(b)-len(rest)], rest, nil
}

func skipValue(b []byte, depth int) (rest []byte, err error) {
	if len(b) == 0 {
		return nil, refuse(CodeProtocol, "bencoding ends early")
	}
	switch c := b[0]; {
	case c == 'i':
		_, rest, err = scanInt(b)
		return rest, err
	case c >= '0' && c <= '9':
		_, rest, err = scanString(b)
		return rest, err
	case c != 'l' && c != 'd':
		return nil, refuse(CodeProtocol, "bencoding has no value that begins with %q", c)
	case depth == 0:
		return nil, refuse(CodeProtocol, "bencoding is nested deeper than %d", maxDepth)
	case c == 'l':
		return skipList(b[1:], depth-1)
	default:
		return skipDict(b[1:], depth-1)
	}
}

func skipList(b []byte, depth int) (rest []byte, err error) {
	for len(b) > 0 && b[0] != 'e' {
		if b, err = skipValue(b, depth); err != nil {
			return nil, err
		}
	}
	return skipEnd(b)
}

func skipDict(b []byte, depth int) (rest []byte, err error) {
	var last []byte
	for first := true; len(b) > 0 && b[0] != 'e'; first = false {
		key, after, err := scanString(b)
		if err != nil {
			return nil, err
		}
		if !first && bytes.Compare(last, key) >= 0 {
			return nil, refuse(CodeProtocol, "dictionary keys are not sorted and unique at %q", key)
		}
		if b, err = skipValue(after, depth); err != nil {
			return nil, err
		}
		last = key
	}
	return skipEnd(b)
}

func skipEnd(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, refuse(CodeProtocol, "list or dictionary is not closed")
	}
	return b[1:], nil
}

// scanInt reads i<decimal>e.
func scanInt(b []byte) (n int64, rest []byte, err error) {
	const longest = len("i-9223372036854775808e")
	end := bytes.IndexByte(b[:min(len(b), longest)], 'e')
	if end < 2 || b[0] != 'i' {
		return 0, nil, refuse(CodeProtocol, "malformed integer")
	}
	digits := bytes.TrimPrefix(b[1:end], []byte("-"))
	plain := len(digits) > 0 && digits[0] != '+' && (digits[0] != '0' || end == len("i0"))
	n, err = strconv.ParseInt(string(b[1:end]), 10, 64)
	if err != nil || !plain {
		return 0, nil, refuse(CodeProtocol, "integer %q is not canonical or not within 64 bits", b[1:end])
	}
	return n, b[end+1:], nil
}

// scanString reads <length>:<bytes>.
func scanString(b []byte) (s, rest []byte, err error) {
	const longest = len("99999") // no packet and no value is larger
	n, digits := 0, 0
	for digits < min(len(b), longest) && '0' <= b[digits] && b[digits] <= '9' {
		n = 10*n + int(b[digits]-'0')
		digits++
	}
	if digits == 0 || digits == len(b) || b[digits] != ':' {
		return nil, nil, refuse(CodeProtocol, "malformed string length")
	}
	if b[0] == '0' && digits > 1 {
		return nil, nil, refuse(CodeProtocol, "string length %q is not canonical", b[:digits])
	}
	b = b[digits+1:]
	if n > len(b) {
		return nil, nil, refuse(CodeProtocol, "string of %d bytes has only %d", n, len(b))
	}
	return b[:n], b[n:], nil
}

// EncodeString returns s as a bencoded string, <length>:<bytes>: the usual form of an item's value.
func EncodeString(s []byte) []byte {
	out := make([]byte, 0, len(s)+5)
	out = strconv.AppendInt(out, int64(len(s)), 10)
	return append(append(out, ':'), s...)
}

// DecodeInt returns the number of a value that is one bencoded integer and nothing after it. The error is
// [ErrMalformed].
func DecodeInt(value []byte) (int64, error) {
	n, rest, err := scanInt(value)
	if err != nil {
		return 0, err
	}
	if len(rest) != 0 {
		return 0, refuse(CodeProtocol, "%d bytes after the integer", len(rest))
	}
	return n, nil
}

// DecodeString returns the bytes of a value that is one bencoded string and nothing after it, as a slice of value.
// The error is [ErrMalformed].
func DecodeString(value []byte) ([]byte, error) {
	s, rest, err := scanString(value)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, refuse(CodeProtocol, "%d bytes after the string", len(rest))
	}
	return s, nil
}
