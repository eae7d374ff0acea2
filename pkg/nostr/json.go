package nostr

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Encode returns the JSON of a payload or KV value of this package, none of
// which can fail to encode. <, > and & stay as they are: escaped, a note full
// of them would be six times as long.
func Encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("events: %T does not encode: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
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
