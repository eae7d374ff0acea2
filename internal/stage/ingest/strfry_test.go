package ingest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// The transcript has what strfry writes behind >, what it must read behind <,
// and behind ! what the log must say.
func TestStrfryTranscript(t *testing.T) {
	text, err := os.ReadFile("testdata/strfry.txt")
	if err != nil {
		t.Fatal(err)
	}
	var in, wantOut bytes.Buffer
	var wantBad []string
	taken := 0
	for row := range strings.Lines(string(text)) {
		switch rest := row[min(2, len(row)):]; row[0] {
		case '>':
			in.WriteString(rest)
		case '<':
			wantOut.WriteString(rest)
			taken++
		case '!':
			wantBad = append(wantBad, strings.TrimSpace(rest))
		}
	}
	var out bytes.Buffer
	var got [][]byte
	var bad []string
	err = Strfry(&in, &out, func(event []byte) { got = append(got, event) }, func(err error) { bad = append(bad, err.Error()) })
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != wantOut.String() {
		t.Errorf("answered\n%swant\n%s", out.String(), wantOut.String())
	}
	if !slices.EqualFunc(bad, wantBad, strings.HasPrefix) {
		t.Errorf("complained\n%s\nwant\n%s", strings.Join(bad, "\n"), strings.Join(wantBad, "\n"))
	}
	if len(got) != taken-2 { // one is of an unknown type, and one is tried
		t.Errorf("took %d events, want %d", len(got), taken-2)
	}
	for _, event := range got {
		if !bytes.Contains(text, append([]byte(`"event":`), event...)) {
			t.Errorf("took %s, which strfry did not send", event)
		}
	}
}

func TestStrfryEndsWhenItCannotAnswer(t *testing.T) {
	r, w := io.Pipe()
	r.CloseWithError(io.ErrClosedPipe)
	err := Strfry(strings.NewReader(`{"type":"new","event":{"id":"ab"}}`), w, func([]byte) { t.Error("took an event") }, func(error) {})
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}
