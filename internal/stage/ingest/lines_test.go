package ingest

import (
	"context"
	"errors"
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
