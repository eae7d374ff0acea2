package nostr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Encode returns the JSON of a payload, KV value or part of a message, none of
// which can fail to encode. <, > and & stay as they are: escaped, a note full
// of them would be six times as long. In events and bare strings that holds for
// every character that JSON does not force to be escaped.
func Encode(v any) []byte {
	switch v := v.(type) {
	case string:
		return appendString(make([]byte, 0, len(v)+2), v)
	case Event:
		return v.appendJSON(make([]byte, 0, v.size()))
	case *Event:
		return v.appendJSON(make([]byte, 0, v.size()))
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("nostr: %T does not encode: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Message returns a message between client and relay (NIP-01): the JSON array
// of the elements, each as [Encode] has it.
func Message(elements ...any) []byte {
	texts := make([][]byte, len(elements))
	for i, e := range elements {
		texts[i] = Encode(e)
	}
	return slices.Concat([]byte{'['}, bytes.Join(texts, []byte{','}), []byte{']'})
}

// Decode reads a payload. Unknown fields are ignored, so that old workers read
// what new ones write.
func Decode[T any](data []byte) (T, error) {
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("message is not the JSON of a %T: %w", v, err)
	}
	return v, nil
}
