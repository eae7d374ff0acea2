// Package lines reads text that people and programs pipe in, one item a line: from
// Windows, too, with a byte order mark, CRLF or blank lines, and lines of any length.
package lines

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Line is a line of the input.
type Line struct {
	Number int // from 1
	// Text is without the end of the line, blanks around it and a byte order mark; ""
	// is a blank line. It has memory of its own.
	Text []byte
	// TooLong says that there is more of it than Text, which is cut off.
	TooLong bool
}

// Reader reads lines. It is for one goroutine.
type Reader struct {
	in     *bufio.Reader
	most   int
	number int
}

// NewReader returns a reader whose lines are cut off at so many bytes.
func NewReader(in io.Reader, most int) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, 256<<10), most: most}
}

// ErrUTF16 says that the input is not in UTF-8, as what PowerShell pipes.
var ErrUTF16 = errors.New("the text is in UTF-16: convert it to UTF-8")

// ErrCompressed says that the input is that of a program that compresses.
var ErrCompressed = errors.New("the text is compressed: unpack it first (gzip -d, zstd -d)")

// Next returns the next line. The error is io.EOF at the end of the input, or names
// the line that could not be read; what there is of that one is no line.
func (r *Reader) Next() (Line, error) {
	line, length := Line{Number: r.number + 1}, 0
	for {
		part, err := r.in.ReadSlice('\n')
		line.Text = append(line.Text, part[:min(len(part), r.most+around-len(line.Text))]...)
		length += len(part)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && length == 0:
			return Line{}, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return Line{}, fmt.Errorf("read line %d: %w", line.Number, err)
		}
		break
	}
	if bytes.HasPrefix(line.Text, []byte("\xff\xfe")) || bytes.HasPrefix(line.Text, []byte("\xfe\xff")) {
		return Line{}, fmt.Errorf("read line %d: %w", line.Number, ErrUTF16)
	}
	if r.number == 0 && (bytes.HasPrefix(line.Text, []byte("\x1f\x8b")) || bytes.HasPrefix(line.Text, []byte("\x28\xb5\x2f\xfd"))) {
		return Line{}, ErrCompressed
	}
	r.number++
	cut := length > len(line.Text)
	line.Text = bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(line.Text), []byte("\ufeff")))
	line.TooLong = len(line.Text) > r.most || cut && len(line.Text) > 0
	line.Text = line.Text[:min(len(line.Text), r.most)]
	return line, nil
}

// around is how many bytes a byte order mark and the end of a line take.
const around = len("\ufeff\r\n")
