package p2p

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// Bounds of a message. What may be long, a list of events or ids, is read
// element by element and never held as a whole.
const (
	maxKind = 16
	// maxHex bounds a negentropy message in hex. HORNETS stays within 4,096
	// bytes; this is what relays take by websocket.
	maxHex = 2 * negentropy.DefaultMessageLimit
	// maxFilter bounds the text of a filter: some 950 authors.
	maxFilter = 64 << 10
	// maxReason bounds the text of a refusal.
	maxReason = 4 << 10
	// maxSkipped bounds an element that is too long to be taken, and the white
	// space between the elements of a list.
	maxSkipped = 16 << 20
)

// reader reads the messages of a stream: lines that are JSON arrays of strings.
// A caller asks for the elements of a message in their order, and for its end;
// it holds no more than what it returns. The errors are [reconcile.ErrMisbehaving] where
// a line is no such message, and otherwise those of the stream.
type reader struct {
	in *bufio.Reader
}

func newReader(in io.Reader) *reader { return &reader{bufio.NewReaderSize(in, 16<<10)} }

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{reconcile.ErrMisbehaving}, args...)...)
}

// next begins a message and returns its kind and checks that it is about the
// one session that a stream has. io.EOF means that the peer has ended the
// stream between messages.
func (r *reader) next() (kind string, err error) {
	if _, err := r.in.Peek(1); err != nil {
		return "", err
	}
	if err := r.expect('['); err != nil {
		return "", err
	}
	if kind, err = r.quoted(maxKind); err != nil {
		return "", err
	}
	id, err := r.text(maxKind)
	if err == nil && id != session {
		err = malformed("a %.16q about session %.16q, but the only one is %q", kind, id, session)
	}
	return kind, err
}

// text returns the next element, of at most limit bytes.
func (r *reader) text(limit int) (string, error) {
	if err := r.expect(','); err != nil {
		return "", err
	}
	return r.quoted(limit)
}

// end takes the end of a message.
func (r *reader) end() error {
	if err := r.expect(']'); err != nil {
		return err
	}
	return r.expect('\n')
}

func (r *reader) expect(want byte) error {
	got, err := r.byte()
	if err == nil && got != want {
		err = malformed("%q in a message where %q is due", got, want)
	}
	return err
}

// byte returns the next byte of a message that has begun.
func (r *reader) byte() (byte, error) {
	b, err := r.in.ReadByte()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

func (r *reader) quoted(limit int) (string, error) {
	if err := r.expect('"'); err != nil {
		return "", err
	}
	s := stringReader{r: r}
	var text []byte
	for {
		b, more, err := s.next()
		switch {
		case err != nil:
			return "", err
		case !more:
			return string(text), nil
		case len(text) == limit:
			return "", malformed("an element of more than %d bytes", limit)
		}
		text = append(text, b)
	}
}

// stringReader reads what a JSON string says, behind its opening quote.
type stringReader struct {
	r    *reader
	left []byte // decoded, not yet returned
	buf  [utf8.UTFMax]byte
	done bool
}

// next returns the next byte of the text, and false at its end.
func (s *stringReader) next() (b byte, more bool, err error) {
	if len(s.left) > 0 {
		b, s.left = s.left[0], s.left[1:]
		return b, true, nil
	}
	if s.done {
		return 0, false, nil
	}
	if b, err = s.r.byte(); err != nil {
		return 0, false, err
	}
	switch {
	case b == '"':
		s.done = true
		return 0, false, nil
	case b < ' ':
		return 0, false, malformed("a control character (%#x) in a string", b)
	case b != '\\':
		return b, true, nil
	}
	char, err := s.escape()
	if err != nil {
		return 0, false, err
	}
	s.left = s.buf[:utf8.EncodeRune(s.buf[:], char)]
	return s.next()
}

// escape reads an escape behind its backslash.
func (s *stringReader) escape() (rune, error) {
	b, err := s.r.byte()
	if err != nil {
		return 0, err
	}
	switch b {
	case '"', '\\', '/':
		return rune(b), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return s.unicode()
	}
	return 0, malformed(`\%c is no escape`, b)
}

// unicode reads what follows \u: four digits, or a surrogate pair. A lone half
// of a pair is U+FFFD, as encoding/json has it.
func (s *stringReader) unicode() (rune, error) {
	first, err := s.digits()
	if err != nil || !utf16.IsSurrogate(first) {
		return first, err
	}
	// No more is awaited than must come: the peer may be done.
	for n, want := range []byte{'\\', 'u'} {
		if ahead, err := s.r.in.Peek(n + 1); err != nil || ahead[n] != want {
			return utf8.RuneError, nil //nolint:nilerr // the next read meets the same error
		}
	}
	ahead, err := s.r.in.Peek(6)
	if err != nil {
		return 0, err
	}
	second, err := strconv.ParseUint(string(ahead[2:]), 16, 16)
	pair := utf16.DecodeRune(first, rune(second))
	if err != nil || pair == utf8.RuneError {
		return utf8.RuneError, nil //nolint:nilerr // it is read again, as an escape of its own
	}
	_, err = s.r.in.Discard(len(ahead))
	return pair, err
}

func (s *stringReader) digits() (rune, error) {
	var text [4]byte
	for i := range text {
		b, err := s.r.byte()
		if err != nil {
			return 0, err
		}
		text[i] = b
	}
	n, err := strconv.ParseUint(string(text[:]), 16, 16)
	if err != nil {
		return 0, malformed(`\u%s is no escape`, text)
	}
	return rune(n), nil
}
