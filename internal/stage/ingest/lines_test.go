package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestALineThatCouldNotBeReadIsReadAfterSkip(t *testing.T) {
	first := string(nostr.Encode(textNote(strings.Repeat("a", 64), "first"))) + "\n"
	second := string(nostr.Encode(textNote(strings.Repeat("a", 64), "second"))) + "\n"
	var put []string
	lines := Lines{
		Verify: func(all []*nostr.Event) []error { return make([]error, len(all)) },
		Put: func(_ context.Context, event []byte) error {
			put = append(put, string(event)+"\n")
			return nil
		},
		Flush: func(context.Context) error { return nil },
		Bad:   func(line int, err error) { t.Errorf("line %d: %v", line, err) },
	}
	broken := errors.New("broken pipe")
	read, err := lines.Read(t.Context(), io.MultiReader(strings.NewReader(first+second[:50]), iotest.ErrReader(broken)), 0)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "line 2") || read != (LinesRead{Lines: 1, Events: 1}) {
		t.Errorf("read %+v, %v", read, err)
	}
	read, err = lines.Read(t.Context(), strings.NewReader(first+second), read.Lines)
	if err != nil || read != (LinesRead{Lines: 2, Events: 1}) || strings.Join(put, "") != first+second {
		t.Errorf("after skip: read %+v, %v, put %q", read, err, put)
	}
}

// Files come from Windows, too, behind one another, and with lines that are none.
func TestLinesAsPeopleHaveThem(t *testing.T) {
	good := string(nostr.Encode(textNote(strings.Repeat("a", 64), "first")))
	other := string(nostr.Encode(textNote(strings.Repeat("a", 64), "second")))
	var put, bad []string
	reader := Lines{
		Verify: func(all []*nostr.Event) []error { return make([]error, len(all)) },
		Put: func(_ context.Context, event []byte) error {
			put = append(put, string(event))
			return nil
		},
		Flush: func(context.Context) error { return nil },
		Bad:   func(line int, err error) { bad = append(bad, fmt.Sprintf("%d: %v", line, err)) },
	}
	text := "\ufeff" + good + "\r\n\r\n \n" + strings.Repeat("x", 3<<20) + "\r\nhello\n\ufeff" + other
	read, err := reader.Read(t.Context(), strings.NewReader(text), 0)
	if err != nil || read != (LinesRead{Lines: 6, Events: 2, Bad: 2}) || strings.Join(put, " ") != good+" "+other {
		t.Errorf("%+v, %v, %.300q", read, err, put)
	}
	if len(bad) != 2 || !strings.HasPrefix(bad[0], "4: event: more than") || !strings.HasPrefix(bad[1], "5: event: not a JSON event") {
		t.Errorf("%q", bad)
	}
}

func TestStrfryWithCRLF(t *testing.T) {
	request := `{"type":"new","event":{"id":"ab"}}`
	var out strings.Builder
	taken := 0
	err := Strfry(strings.NewReader("\ufeff"+request+"\r\n\r\n"+request), &out, func([]byte) { taken++ }, func(err error) { t.Error(err) })
	if answer := `{"id":"ab","action":"accept"}` + "\n"; err != nil || taken != 2 || out.String() != answer+answer {
		t.Errorf("%v, took %d, %q", err, taken, out.String())
	}
}
