package nostr

import "encoding/json"

// Repeated returns the event that a repost repeats in its content (NIP-18), or the
// request that the receipt of a zap has in its description (NIP-57), and whether there
// is one. It is read as JSON.parse has it, by which clients go: names of fields with
// their case, of two with one name the last, and numbers however they are written. None
// of it is checked, and a field of another type is missing.
func (e *Event) Repeated() (inner Event, ok bool) {
	text := ""
	switch e.Kind {
	case KindRepost, KindGenericRepost:
		text = e.Content
	case KindZapReceipt:
		text = e.Tag("description").At(1)
	}
	var fields map[string]json.RawMessage
	if text == "" || json.Unmarshal([]byte(text), &fields) != nil || fields == nil {
		return inner, false
	}
	var kind, createdAt float64
	for name, into := range map[string]any{
		"id": &inner.ID, "pubkey": &inner.PubKey, "created_at": &createdAt, "kind": &kind, "tags": &inner.Tags, "content": &inner.Content,
		"sig": &inner.Sig,
	} {
		_ = json.Unmarshal(fields[name], into)
	}
	inner.Kind, inner.CreatedAt = int(kind), int64(createdAt)
	return inner, true
}
