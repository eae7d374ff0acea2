package ingest

import (
	"maps"

	"github.com/relaymesh/relaymesh/internal/deny"
)

// without takes out of a finding what is denied: relays of the list, and DHT keys
// with the record under them.
func (f *finding) without(denied *deny.List) {
	if denied.Empty() {
		return
	}
	if f.list != nil {
		f.list.Write, f.list.Read = denied.Relays(f.list.Write), denied.Relays(f.list.Read)
		if denied.Key(f.list.Key) {
			f.list = nil
		}
	}
	f.named = denied.Relays(f.named)
	if f.record != nil && denied.Key(f.record.DHTKey) {
		f.record = nil
	}
	maps.DeleteFunc(f.keys, func(owner, key string) bool { return denied.Key(owner) || denied.Key(key) })
}
