package p2p

import (
	"bufio"
	"io"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The kinds of messages.
const (
	kindOpen  = "NEG-OPEN"
	kindMsg   = "NEG-MSG"
	kindHave  = "NEG-HAVE"
	kindNeed  = "NEG-NEED"
	kindErr   = "NEG-ERR"
	kindClose = "NEG-CLOSE"
)

const (
	session = "N"  // the id of the one session of a stream
	idBytes = "32" // an element of NEG-OPEN that says what is always so
)

// writer writes the messages of a stream.
type writer struct {
	out  *bufio.Writer
	torn bool // a list was not written to its end: nothing can follow
}

func newWriter(out io.Writer) *writer { return &writer{out: bufio.NewWriterSize(out, 16<<10)} }

// message writes a message and sends off all that was written.
func (w *writer) message(kind string, elements ...any) error {
	w.bytes(append(nostr.Message(append([]any{kind, session}, elements...)...), '\n'))
	return w.out.Flush()
}

// bytes writes; an error stays until the next Flush, which returns it.
func (w *writer) bytes(b []byte) { _, _ = w.out.Write(b) }

// list writes a message whose one element is a list, while it is made: all is
// called with a function that writes one element. The message is only whole,
// and sent off, if all returns nil.
func (w *writer) list(kind string, all func(add func(v any) error) error) error {
	w.torn = true
	w.bytes([]byte(`["` + kind + `","` + session + `","[`))
	first := true
	err := all(func(v any) error {
		quoted := nostr.Encode(string(nostr.Encode(v)))
		if !first {
			w.bytes([]byte(","))
		}
		first = false
		_, err := w.out.Write(quoted[1 : len(quoted)-1])
		return err
	})
	if err != nil {
		return err
	}
	w.torn = false
	w.bytes([]byte("]\"]\n"))
	return w.out.Flush()
}
