package nostr

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Filter is a NIP-01 filter. A nil list matches everything, and an empty one
// nothing; Tags maps a single letter to the values of which the event must carry
// one ("#e" on the wire). Since and Until are inclusive Unix seconds. Since,
// Until and Limit are absent from the wire when they are 0; for Until and Limit,
// where a 0 on the wire says something else, a negative number stands for it.
type Filter struct {
	IDs     []string
	Authors []string
	Kinds   []int
	Tags    map[string][]string
	Since   int64
	Until   int64
	Limit   int
}

// LimitZero is a [Filter.Limit] of no stored event at all.
const LimitZero = -1

// ErrUnknownKey is what a filter is refused for that has a key which relaymesh
// does not know.
var ErrUnknownKey = errors.New("unknown key")

// MarshalJSON writes the filter with its keys sorted, so that equal filters
// are equal text: relays with prepared trees (strfry) compare it byte by byte.
func (f Filter) MarshalJSON() ([]byte, error) {
	m := map[string]any{}
	if f.IDs != nil {
		m["ids"] = f.IDs
	}
	if f.Authors != nil {
		m["authors"] = f.Authors
	}
	if f.Kinds != nil {
		m["kinds"] = f.Kinds
	}
	for name, values := range f.Tags {
		m["#"+name] = values
	}
	if f.Since != 0 {
		m["since"] = f.Since
	}
	if f.Until != 0 {
		m["until"] = max(f.Until, 0)
	}
	if f.Limit != 0 {
		m["limit"] = max(f.Limit, 0)
	}
	return json.Marshal(m)
}

// Key is a short name of the filter, 16 hex digits: equal filters have equal
// keys.
func (f Filter) Key() string {
	sum := sha256.Sum256(Encode(f))
	return hex.EncodeToString(sum[:8])
}

// UnmarshalJSON reads a filter as clients send it. A key that relaymesh does
// not know is [ErrUnknownKey]; it is named, as is one whose value is null or of
// another type: guessing would match too much.
func (f *Filter) UnmarshalJSON(data []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil || m == nil {
		return fmt.Errorf("filter: %s is not a JSON object", Clip(string(data)))
	}
	*f = Filter{}
	for key, raw := range m {
		if err := f.set(key, raw); err != nil {
			return fmt.Errorf("filter: %w", err)
		}
	}
	return nil
}

// set reads the value of a key.
func (f *Filter) set(key string, raw json.RawMessage) (err error) {
	switch {
	case key == "ids":
		err = decodeList(raw, &f.IDs)
	case key == "authors":
		err = decodeList(raw, &f.Authors)
	case key == "kinds":
		err = decodeList(raw, &f.Kinds)
	case key == "since":
		err = decodeNumber(raw, &f.Since)
	case key == "until":
		if err = decodeNumber(raw, &f.Until); f.Until == 0 {
			f.Until = -1
		}
	case key == "limit":
		if err = decodeNumber(raw, &f.Limit); f.Limit == 0 {
			f.Limit = LimitZero
		}
	case len(key) == 2 && key[0] == '#':
		var values []string
		err = decodeList(raw, &values)
		if f.Tags == nil {
			f.Tags = map[string][]string{}
		}
		f.Tags[key[1:]] = values
	default:
		return fmt.Errorf("%w %q; known are ids, authors, kinds, since, until, limit and #x", ErrUnknownKey, Clip(key))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

var errNull = errors.New("null is no value: leave the key out where everything is meant")

func decodeList[T int | string](raw json.RawMessage, into *[]T) error {
	var values []*T
	if err := json.Unmarshal(raw, &values); err != nil {
		return wrongType(err, "a list of "+names[fmt.Sprintf("%T", *new(T))])
	}
	if values == nil || slices.Contains(values, nil) {
		return errNull
	}
	*into = make([]T, len(values))
	for i, v := range values {
		(*into)[i] = *v
	}
	return nil
}

var names = map[string]string{"int": "whole numbers", "string": "strings"}

func decodeNumber[T int | int64](raw json.RawMessage, into *T) error {
	if string(raw) == "null" {
		return errNull
	}
	return wrongType(json.Unmarshal(raw, into), "a whole number")
}

// wrongType says of a value in which place another one is wanted, without the types
// of Go.
func wrongType(err error, want string) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		article := "a"
		if wrong.Value == "array" || wrong.Value == "object" {
			article = "an"
		}
		return fmt.Errorf("want %s, not %s %s", want, article, Clip(wrong.Value))
	}
	return err
}

// Void reports whether no event can match, since one of the lists is empty. Such a
// filter is better not sent: some relays take an empty list for everything.
func (f *Filter) Void() bool {
	empty := func(values []string) bool { return values != nil && len(values) == 0 }
	if empty(f.IDs) || empty(f.Authors) || f.Kinds != nil && len(f.Kinds) == 0 {
		return true
	}
	for _, values := range f.Tags {
		if len(values) == 0 {
			return true
		}
	}
	return false
}

// Match reports whether the event satisfies the filter; Limit plays no part.
func (f *Filter) Match(e *Event) bool {
	switch {
	case f.IDs != nil && !slices.Contains(f.IDs, e.ID),
		f.Authors != nil && !slices.Contains(f.Authors, e.PubKey),
		f.Kinds != nil && !slices.Contains(f.Kinds, e.Kind),
		f.Since != 0 && e.CreatedAt < f.Since,
		f.Until != 0 && e.CreatedAt > max(f.Until, 0):
		return false
	}
	for name, values := range f.Tags {
		if !slices.ContainsFunc(e.Tags, func(t Tag) bool { return len(t) > 1 && t[0] == name && slices.Contains(values, t[1]) }) {
			return false
		}
	}
	return true
}
