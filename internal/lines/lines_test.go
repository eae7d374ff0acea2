package lines_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/relaymesh/relaymesh/internal/lines"
)

// read returns the lines as number:text, with + where one is cut off, and the error
// that ended them, if that is not the end of the input.
func read(in io.Reader, most int) (all []string, err error) {
	r := lines.NewReader(in, most)
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		more := ""
		if line.TooLong {
			more = "+"
		}
		all = append(all, fmt.Sprintf("%d:%s%s", line.Number, line.Text, more))
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 600<<10)
	for text, want := range map[string]string{
		"":                                   "",
		"a\nb":                               "1:a 2:b",
		"a\r\nb\r\n":                         "1:a 2:b",
		"\ufeffa\r\n\ufeffb\n":               "1:a 2:b", // two files, one behind the other
		"\n \t\n\r\na":                       "1: 2: 3: 4:a",
		"\ufeff\n":                           "1:",
		" a b \n":                            "1:a b",
		"a\n" + long + "\nb\n":               "1:a 2:xxxxxxxxxx+ 3:b",
		"\ufeff{}\n" + long:                  "1:{} 2:xxxxxxxxxx+",
		"0123456789\n0123456789\r\n":         "1:0123456789 2:0123456789",
		strings.Repeat(" ", 300<<10) + "\nb": "1: 2:b",
	} {
		all, err := read(iotest.OneByteReader(strings.NewReader(text)), 10)
		if got := strings.Join(all, " "); err != nil || strings.TrimSuffix(got, "+") != strings.TrimSuffix(want, "+") || len(got) != len(want) {
			t.Errorf("%.40q: %.100q, %v, want %q", text, got, err, want)
		}
	}
}

func TestLinesThatCannotBeRead(t *testing.T) {
	broken := errors.New("broken pipe")
	all, err := read(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), 10)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "line 2") || len(all) != 1 {
		t.Errorf("%q, %v", all, err)
	}
	for _, text := range []string{"\xff\xfe{\x00}\x00\n\x00", "\xfe\xff\x00{\x00}\x00\n"} {
		if all, err := read(strings.NewReader(text), 10); !errors.Is(err, lines.ErrUTF16) || len(all) > 0 {
			t.Errorf("%q: %q, %v", text, all, err)
		}
	}
	for _, text := range []string{"\x1f\x8b\x08\x00\n", "\x28\xb5\x2f\xfd\x04"} {
		if all, err := read(strings.NewReader(text), 10); !errors.Is(err, lines.ErrCompressed) || len(all) > 0 {
			t.Errorf("%q: %q, %v", text, all, err)
		}
		if all, err := read(strings.NewReader("a\n"+text), 10); err != nil || len(all) < 2 {
			t.Errorf("in the second line, %q: %q, %v", text, all, err)
		}
	}
}
