package homerelay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mailru/easyjson"
	gonostr "github.com/nbd-wtf/go-nostr"
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
// or "" if it has none that is allowed.
func (m message) id() string {
	if id := m.text(1); len(id) <= maxIDLength {
		return id
	}
	return ""
}

// event decodes element 1; it is not verified.
func (m message) event() (*gonostr.Event, error) {
	e := &gonostr.Event{}
	if len(m.elements) != 2 || !isObject(m.elements[1]) {
		return nil, fmt.Errorf("%s takes one event", m.label)
	}
	if err := easyjson.Unmarshal(m.elements[1], e); err != nil {
		return nil, fmt.Errorf("not an event: %w", err)
	}
	return e, nil
}

// decodeFilters decodes from one to maxFilters filters.
func decodeFilters(texts []json.RawMessage) ([]gonostr.Filter, error) {
	if len(texts) == 0 || len(texts) > maxFilters {
		return nil, fmt.Errorf("%d filters, want 1 to %d", len(texts), maxFilters)
	}
	filters := make([]gonostr.Filter, len(texts))
	for i, text := range texts {
		if !isObject(text) {
			return nil, fmt.Errorf("filter %d is not an object", i+1)
		}
		if err := easyjson.Unmarshal(text, &filters[i]); err != nil {
			return nil, fmt.Errorf("filter %d: %w", i+1, err)
		}
	}
	return filters, nil
}

// isObject tells objects from other valid JSON: the decoders take null too.
func isObject(text json.RawMessage) bool { return bytes.HasPrefix(text, []byte("{")) }

// encode makes a message of strings, numbers and booleans.
func encode(elements ...any) []byte {
	msg, err := json.Marshal(elements)
	if err != nil {
		panic(err) // none of these can fail
	}
	return msg
}

// encodeEvent makes an EVENT message.
func encodeEvent(id string, e *gonostr.Event) []byte {
	event, err := easyjson.Marshal(e)
	if err != nil {
		panic(err) // an event is strings and numbers
	}
	head := encode("EVENT", id)
	msg := make([]byte, 0, len(head)+1+len(event))
	msg = append(msg, head[:len(head)-1]...)
	msg = append(msg, ',')
	msg = append(msg, event...)
	return append(msg, ']')
}
