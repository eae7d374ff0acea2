package relay

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

func TestSplitArray(t *testing.T) {
	for text, want := range map[string][]string{
		`["EVENT","a",{"x":[1,2,"]"]}]`:   {`"EVENT"`, `"a"`, `{"x":[1,2,"]"]}`},
		` [ "OK" , "\"," , true,"" ] `:    {`"OK"`, `"\","`, `true`, `""`},
		`[]`:                              {``},
		`["a\\","b"]`:                     {`"a\\"`, `"b"`},
		`["a]`:                            nil,
		`[}]`:                             nil,
		`[{]`:                             nil,
		`{}`:                              nil,
		``:                                nil,
		`[`:                               nil,
		`[1,2,3,4,5,6,7,8,9]`:             nil,
		`["NEG-ERROR","n1","bad "x""]`:    {`"NEG-ERROR"`, `"n1"`, `"bad "x""`},
		`["NEG-ERROR","n1","one " only"]`: nil,
	} {
		got, err := splitArray([]byte(text))
		if (err == nil) != (want != nil) {
			t.Errorf("%s: %v", text, err)
		}
		if !slices.EqualFunc(got, want, func(a []byte, b string) bool { return string(a) == b }) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// Whatever encoding/json takes for an array is split where it splits it.
func FuzzSplitArray(f *testing.F) {
	for _, seed := range []string{`["EVENT","a",{"x":[1,2,"]"]}]`, `[[],{},"\\\"",1e5,null]`, `[`, `["a`, `[ 1 ,2]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := splitArray(data)
		var want []json.RawMessage
		if json.Unmarshal(data, &want) != nil || len(want) == 0 || want == nil || len(want) > maxElements {
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if !slices.EqualFunc(got, want, func(a []byte, b json.RawMessage) bool { return bytes.Equal(a, bytes.TrimSpace(b)) }) {
			t.Fatalf("%q: got %q, want %q", data, got, want)
		}
	})
}
