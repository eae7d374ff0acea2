package p2p

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// parse reads one message as a responder would.
func parse(r *reader) (out []string, list []string, err error) {
	kind, err := r.next()
	if err != nil {
		return nil, nil, err
	}
	out = append(out, kind)
	text := func(limit int) {
		if err == nil {
			var s string
			s, err = r.text(limit)
			out = append(out, s)
		}
	}
	switch kind {
	case kindOpen:
		text(maxFilter)
		text(maxKind)
		text(maxHex)
	case kindMsg:
		text(maxHex)
	case kindErr:
		text(maxReason)
	case kindHave, kindNeed:
		list = []string{}
		err = r.elements(64, func(text []byte) error {
			if text == nil {
				list = append(list, "too long")
				return nil
			}
			list = append(list, string(text))
			return nil
		})
	}
	if err == nil {
		err = r.end()
	}
	return out, list, err
}

func TestReadMessages(t *testing.T) {
	for line, want := range map[string]string{
		`["NEG-CLOSE","N"]`: `[NEG-CLOSE] []`,
		`["NEG-OPEN","N","{\"kinds\":[1]}","32","61000002"]`:          `[NEG-OPEN {"kinds":[1]} 32 61000002] []`,
		`["NEG-MSG","N","\u0061\/\\\n\ud83d\ude00\ud83d!"]`:           "[NEG-MSG a/\\\n\U0001F600\uFFFD!] []",
		`["NEG-MSG","N","\ud83d\u0041"]`:                              "[NEG-MSG \uFFFDA] []",
		`["NEG-MSG","N","\ud83d"]`:                                    "[NEG-MSG \uFFFD] []",
		`["NEG-HAVE","N","null"]`:                                     `[NEG-HAVE] []`,
		`["NEG-HAVE","N","[]"]`:                                       `[NEG-HAVE] []`,
		`["NEG-HAVE","N","[null]"]`:                                   `[NEG-HAVE] [null]`,
		`["NEG-HAVE","N"," [ {\"a\":[1,\"]\\\"}\"]} , 2 ] "]`:         `[NEG-HAVE] [{"a":[1,"]\"}"]} |2 ]`,
		`["NEG-NEED","N","[\"a\",\"b\"]"]`:                            `[NEG-NEED] ["a"|"b"]`,
		`["NEG-NEED","N","[\"` + strings.Repeat("a", 100) + `\",1]"]`: `[NEG-NEED] [too long|1]`,
	} {
		r := newReader(strings.NewReader(line + "\n" + line + "\n"))
		for range 2 {
			out, list, err := parse(r)
			if got := fmt.Sprintf("%s [%s]", out, strings.Join(list, "|")); err != nil || got != want {
				t.Errorf("%s: %s, %v; want %s", line, got, err, want)
			}
		}
		if _, _, err := parse(r); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v at the end", line, err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"[]\n":                              `']' in a message where '"' is due`,
		"{}\n":                              `'{' in a message where '[' is due`,
		"\n":                                `where '[' is due`,
		"[1]\n":                             `where '"' is due`,
		"[\"NEG-CLOSE\"]\n":                 `where ',' is due`,
		"[\"NEG-CLOSE\",\"M\"]\n":           `about session "M"`,
		"[\"NEG-CLOSE\",\"N\"]]\n":          `where '\n' is due`,
		"[\"NEG-MSG\",\"N\"]\n":             `where ',' is due`,
		"[\"NEG-MSG\",\"N\",\"a\n":          "a control character (0xa)",
		"[\"NEG-MSG\",\"N\",\"\\x":          `\x is no escape`,
		"[\"NEG-MSG\",\"N\",\"\\u1":         io.ErrUnexpectedEOF.Error(),
		"[\"NEG-MSG\",\"N\",\"\\u12g4\"]\n": "is no escape",
		"[\"" + strings.Repeat("A", 1<<20):  "more than 16 bytes",
		"[\"NEG-MSG\",\"N\",\"" + strings.Repeat("0", 1<<20):                       "more than 120000 bytes",
		"[\"NEG-HAVE\",\"N\",\"{}\"]\n":                                            "where a list is due",
		"[\"NEG-HAVE\",\"N\",\"nil\"]\n":                                           "where a list is due",
		"[\"NEG-HAVE\",\"N\",\"[}]\"]\n":                                           "closes nothing",
		"[\"NEG-HAVE\",\"N\",\"[1\"]\n":                                            "without an end",
		"[\"NEG-HAVE\",\"N\",\"\"]\n":                                              "without an end",
		"[\"NEG-HAVE\",\"N\",\"[1]2\"]\n":                                          "behind a list",
		"[\"NEG-HAVE\",\"N\",\"[" + strings.Repeat("[", maxSkipped+1):              "more than 16777216 bytes in a list",
		"[\"NEG-HAVE\",\"N\",\"" + strings.Repeat(" ", maxSkipped+1) + "[]\"]\n":   "of white space in a list",
		"[\"NEG-HAVE\",\"N\",\"[1," + strings.Repeat(" ", maxSkipped) + "2] \"]\n": "of white space in a list",
		"[\"NEG-HAVE\",\"N\",\"[1]" + strings.Repeat(" ", maxSkipped+1) + "\"]\n":  "of white space in a list",
	} {
		_, _, err := parse(newReader(strings.NewReader(line)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", line, err, want)
		}
		if !errors.Is(err, reconcile.ErrMisbehaving) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%.40q: %v is not reconcile.ErrMisbehaving", line, err)
		}
	}
}

// What is written is read, and what encoding/json reads is read alike.
func FuzzMessages(f *testing.F) {
	for _, line := range []string{
		`["NEG-OPEN","N","{\"kinds\":[1],\"authors\":[\"aa\"]}","32","61000002026b86"]`, `["NEG-MSG","N","6100000203d473"]`,
		`["NEG-HAVE","N","[{\"id\":\"\\u003c\",\"tags\":[[\"e\",\"]\"]]}]"]`, `["NEG-HAVE","N","null"]`, `["NEG-NEED","N","[\"ab\",\"cd\"]"]`,
		`["NEG-ERR","N","no\ud83d\ude00"]`, `["NEG-CLOSE","N"]`, `[]`, `["NEG-HAVE","N","[null]"]`,
		`["NEG-MSG","N","6100ffffffffffffffffff7f00"]`,
		`["NEG-MSG","N","\ud800\u0041\ud800"]`,
	} {
		f.Add([]byte(line + "\n"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newReader(bytes.NewReader(data))
		rest := data
		for {
			out, list, err := parse(r)
			if err != nil {
				return
			}
			line, after, _ := bytes.Cut(rest, []byte("\n"))
			rest = after
			if !utf8.Valid(line) {
				continue
			}
			var want []string
			if err := json.Unmarshal(line, &want); err != nil {
				t.Fatalf("%q was read, but: %v", line, err)
			}
			if want = slices.Delete(want, 1, 2); list == nil && !slices.Equal(out, want) {
				t.Fatalf("%q was read as %q, want %q", line, out, want)
			}
			var elements []json.RawMessage
			if list != nil && json.Unmarshal([]byte(want[1]), &elements) == nil && len(elements) != len(list) {
				t.Fatalf("%q has %d elements, %d were read", line, len(elements), len(list))
			}
		}
	})
}

func TestWriteList(t *testing.T) {
	var text bytes.Buffer
	w := newWriter(&text)
	want := []any{"<a\"\\>", map[string]any{"k": "\u2028"}, nil}
	err := w.list(kindHave, func(add func(any) error) error {
		for _, v := range want {
			if err := add(v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var line []string
	if err := json.Unmarshal(text.Bytes(), &line); err != nil || len(line) != 3 {
		t.Fatalf("%s: %v", text.Bytes(), err)
	}
	var got []any
	if err := json.Unmarshal([]byte(line[2]), &got); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, %v", got, err)
	}
}
