package contract

import (
	"encoding/json"
	"slices"
)

// List is one relay list of an author. Version orders the lists of one source:
// created_at for NIP-65, seq for BEP 44; a lower one never replaces a higher.
// For BEP 44 that holds within one Key.
type List struct {
	Version int64 `json:"version"`
	// Key is the DHT key, in hex, that signed a list of [ViaDHT]. Lists of
	// earlier versions of relaymesh have none, whoever signed them.
	Key string `json:"key,omitempty"`
	// ID is the id of the event that carried the list, or the DHT signature
	// (128 hex digits) of one that was looked up. Of lists of one
	// version the one that has ended stands, then that of the lower event id,
	// then one that was looked up.
	ID string `json:"id,omitempty"`
	// At is the created_at of the event that carried a list of [ViaDHT], and
	// of one that has ended the time of the deletion by address, in Unix
	// seconds; 0 of a list that was looked up, or came with an earlier version.
	At    int64    `json:"at,omitempty"`
	Write []string `json:"write,omitempty"`
	Read  []string `json:"read,omitempty"`
	// D is the d tag of the event that carried a list of [ViaNIP78]; those of
	// earlier versions have none.
	D string `json:"d,omitempty"`
}

// Ended reports whether this stands for a list that its author has deleted or
// vanished from: it names no relays and is of no event, so that nothing of its
// version or an earlier one comes back.
func (l List) Ended() bool { return l.ID == "" && len(l.Write)+len(l.Read) == 0 }

// listFields are the fields of a [List] under the names that they have in KV.
type listFields List

// storedList is a [List] as KV has it: a relay that is written to and read from is
// among write only, and both has a bit for it, the lowest for the first one.
type storedList struct {
	listFields
	Both uint64 `json:"both,omitempty"`
}

// MarshalJSON writes the URL of each relay once, as lists are most of bucket authors.
func (l List) MarshalJSON() ([]byte, error) {
	s := storedList{listFields: listFields(l)}
	s.Read = slices.DeleteFunc(slices.Clone(l.Read), func(url string) bool {
		i := slices.Index(l.Write, url)
		if i < 0 || i >= 64 {
			return false
		}
		s.Both |= 1 << i
		return true
	})
	return json.Marshal(s)
}

// UnmarshalJSON reads what MarshalJSON wrote, or an earlier version of relaymesh,
// which wrote such relays twice. Those that are written to come first among Read.
func (l *List) UnmarshalJSON(data []byte) error {
	var s storedList
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	*l = List(s.listFields)
	var both []string
	for i, url := range l.Write[:min(len(l.Write), 64)] {
		if s.Both&(1<<i) != 0 {
			both = append(both, url)
		}
	}
	if both != nil {
		l.Read = append(both, l.Read...)
	}
	return nil
}
