package nostr

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Filter is a NIP-01 filter. A nil or empty list matches everything; Tags maps
// a single letter to the values of which the event must carry one ("#e" on the
// wire). Since and Until are inclusive Unix seconds, 0 means unbounded. Limit
// 0 means none is sent.
type Filter struct {
	IDs     []string
	Authors []string
	Kinds   []int
	Tags    map[string][]string
	Since   int64
	Until   int64
	Limit   int
}

// MarshalJSON writes the filter with its keys sorted, so that equal filters
// are equal text: relays with prepared trees (strfry) compare it byte by byte.
func (f Filter) MarshalJSON() ([]byte, error) {
	m := map[string]any{}
	if len(f.IDs) > 0 {
		m["ids"] = f.IDs
	}
	if len(f.Authors) > 0 {
		m["authors"] = f.Authors
	}
	if len(f.Kinds) > 0 {
		m["kinds"] = f.Kinds
	}
	for name, values := range f.Tags {
		m["#"+name] = values
	}
	if f.Since != 0 {
		m["since"] = f.Since
	}
	if f.Until != 0 {
		m["until"] = f.Until
	}
	if f.Limit != 0 {
		m["limit"] = f.Limit
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
// not know is an error that names it: guessing would match too much.
func (f *Filter) UnmarshalJSON(data []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("filter: not a JSON object: %w", err)
	}
	*f = Filter{}
	for key, raw := range m {
		var into any
		var values []string
		switch {
		case key == "ids":
			into = &f.IDs
		case key == "authors":
			into = &f.Authors
		case key == "kinds":
			into = &f.Kinds
		case key == "since":
			into = &f.Since
		case key == "until":
			into = &f.Until
		case key == "limit":
			into = &f.Limit
		case len(key) == 2 && key[0] == '#':
			into = &values
		default:
			return fmt.Errorf("filter: unknown key %q; known are ids, authors, kinds, since, until, limit and #x", clip(key))
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return fmt.Errorf("filter: %s: %w", key, err)
		}
		if strings.HasPrefix(key, "#") {
			if f.Tags == nil {
				f.Tags = map[string][]string{}
			}
			f.Tags[key[1:]] = values
		}
	}
	return nil
}

// Match reports whether the event satisfies the filter; Limit plays no part.
func (f *Filter) Match(e *Event) bool {
	switch {
	case len(f.IDs) > 0 && !slices.Contains(f.IDs, e.ID),
		len(f.Authors) > 0 && !slices.Contains(f.Authors, e.PubKey),
		len(f.Kinds) > 0 && !slices.Contains(f.Kinds, e.Kind),
		f.Since != 0 && e.CreatedAt < f.Since,
		f.Until != 0 && e.CreatedAt > f.Until:
		return false
	}
	for name, values := range f.Tags {
		if !slices.ContainsFunc(e.Tags, func(t Tag) bool { return t.At(0) == name && slices.Contains(values, t.At(1)) }) {
			return false
		}
	}
	return true
}
