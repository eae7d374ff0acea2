package homerelay

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// message is a client message: a JSON array whose first element is a string.
type message struct {
	label    string
	elements []json.RawMessage // with the label
	size     int               // of the text
}

// parseMessage checks the whole text, so that the decoders of its parts meet
// valid JSON of bounded depth only.
func parseMessage(data []byte) (message, error) {
	m := message{size: len(data)}
	if err := json.Unmarshal(data, &m.elements); err != nil {
		return m, errors.New("a message is a JSON array")
	}
	if m.label = m.text(0); m.label == "" {
		return m, errors.New("a message begins with its kind, a string")
	}
	return m, nil
}

// text returns element i, or "" if it is no string.
func (m message) text(i int) string {
	var s string
	if i >= len(m.elements) || json.Unmarshal(m.elements[i], &s) != nil {
		return ""
	}
	return s
}

// id returns the id of the subscription or session that the message is about,
// or "" if it has none.
func (m message) id() string { return m.text(1) }

// longID is the refusal of an id that is longer than NIP-01 allows, or "".
func longID(id string) string {
	if n := utf8.RuneCountInString(id); n > maxIDLength {
		return fmt.Sprintf("invalid: an id of %d characters, at most %d are allowed", n, maxIDLength)
	}
	return ""
}

// event decodes element 1; it is not checked. An event that cannot be decoded
// has its id yet, if that is a string: the client waits for an OK of that id.
func (m message) event() (*nostr.Event, error) {
	e := &nostr.Event{}
	if len(m.elements) < 2 {
		return e, fmt.Errorf("%s takes an event", m.label)
	}
	if err := e.UnmarshalJSON(m.elements[1]); err != nil {
		return e, fmt.Errorf("not an event: %w", err)
	}
	if len(m.elements) > 2 {
		return e, fmt.Errorf("%s takes one event", m.label)
	}
	if e.ID == "" {
		return e, errors.New("id is missing")
	}
	return e, nil
}

// decodeFilters decodes from one to maxFilters filters; an error is worded as
// the reason of a CLOSED or NEG-ERR.
func decodeFilters(texts []json.RawMessage) ([]nostr.Filter, error) {
	if len(texts) == 0 || len(texts) > maxFilters {
		return nil, fmt.Errorf("invalid: %d filters, want 1 to %d", len(texts), maxFilters)
	}
	if separators(texts) > maxValues+8*maxFilters { // which costs little, unlike decoding them
		return nil, fmt.Errorf("invalid: more than %d values in the filters", maxValues)
	}
	filters := make([]nostr.Filter, len(texts))
	for i, text := range texts {
		err := filters[i].UnmarshalJSON(text)
		switch {
		case errors.Is(err, nostr.ErrUnknownKey): // NIP-50's search is one
			return nil, fmt.Errorf("unsupported: %w", err)
		case err != nil:
			return nil, fmt.Errorf("invalid: %w", err)
		}
	}
	if n := countValues(filters); n > maxValues {
		return nil, fmt.Errorf("invalid: %d values in the filters, at most %d are allowed", n, maxValues)
	}
	return filters, nil
}

// separators counts the commas between elements.
func separators(texts []json.RawMessage) (n int) {
	for _, text := range texts {
		quoted := false
		for i := 0; i < len(text); i++ {
			switch c := text[i]; {
			case c == '"':
				quoted = !quoted
			case c == '\\':
				i++ // only in strings
			case c == ',' && !quoted:
				n++
			}
		}
	}
	return n
}

// countValues counts the elements of all lists.
func countValues(filters []nostr.Filter) (n int) {
	for _, f := range filters {
		n += len(f.IDs) + len(f.Authors) + len(f.Kinds)
		for _, values := range f.Tags {
			n += len(values)
		}
	}
	return n
}

// eventMessage makes an EVENT message of an event's JSON.
func eventMessage(id string, event []byte) []byte {
	label := nostr.Encode(id)
	msg := append(newMessage(len(label)+len(event)+16), `["EVENT",`...)
	msg = append(append(msg, label...), ',')
	return append(append(msg, event...), ']')
}

// negMessage makes a NEG-MSG message of a session's answer.
func negMessage(id string, answer []byte) []byte {
	label := nostr.Encode(id)
	msg := append(newMessage(len(label)+hex.EncodedLen(len(answer))+16), `["NEG-MSG",`...)
	msg = append(append(msg, label...), `,"`...)
	return append(hex.AppendEncode(msg, answer), `"]`...)
}

// written are the buffers of messages that have been written, in which others are made:
// those who ask for much would otherwise leave much garbage.
var written sync.Pool

// poolable is the least capacity of a buffer that is worth it.
const poolable = 16 << 10

// newMessage returns an empty buffer of at least a size.
func newMessage(size int) []byte {
	if size < poolable {
		return make([]byte, 0, size)
	}
	if b, ok := written.Get().(*[]byte); ok && cap(*b) >= size && cap(*b) <= 2*size {
		return (*b)[:0]
	}
	return make([]byte, 0, size)
}

// recycle takes the buffer of a message that nobody has any more.
func recycle(msg []byte) {
	if cap(msg) >= poolable {
		written.Put(&msg)
	}
}
