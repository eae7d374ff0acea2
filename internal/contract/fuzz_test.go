package contract_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// roundTrip checks that what is decoded says the same when it is encoded and
// decoded again.
func roundTrip[T any](t *testing.T, data []byte) {
	t.Helper()
	v, err := nostr.Decode[T](data)
	if err != nil {
		return
	}
	text := nostr.Encode(v)
	again, err := nostr.Decode[T](text)
	if err != nil || !bytes.Equal(nostr.Encode(again), text) {
		t.Errorf("%T: %q becomes %q, and that %q, %v", v, data, text, nostr.Encode(again), err)
	}
}

// FuzzPayloads reads the JSON of every subject of the contract.
func FuzzPayloads(f *testing.F) {
	hex := strings.Repeat("ab", 32)
	for _, text := range []string{
		`{"pubkey":"` + hex + `","dht_key":"` + hex + `","relays":["wss://a.example"],"event_id":"` + hex + `"}`,
		`{"author":"` + hex + `","relays":["wss://a.example"],"key":"AAAA","salt":"","seq":9007199254740993,"value":"bGU=","signature":"AA=="}`,
		`{"url":"wss://a.example","authors":["x"],"via":"dht"}`,
		`{"event_id":"` + hex + `","author_pubkey":"x","relays":null,"referenced_by":"","thread":true,"timeout_ms":-1}`,
		`{"event":{"id":"` + hex + `","tags":[[]]},"found":true,"relay_url":"\u2028","timestamp":1e3}`, `{"slice":"00"}`,
		`{"time":"2026-01-01T00:00:00Z","deaths":[{}]}`,
		`{"address":"30023:` + hex + `:\ud800"}`, `null`, `[]`, `{"a":1}`, `{"relays":{}}`, `{"seq":-1}`, `{"data":"////"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		roundTrip[events.AuthorSeen](t, data)
		roundTrip[events.RelayListSigned](t, data)
		roundTrip[events.RelayDiscovered](t, data)
		roundTrip[events.NoteMissing](t, data)
		roundTrip[events.MissingNoteRequest](t, data)
		roundTrip[events.MissingNoteResponse](t, data)
		roundTrip[events.ResolveRequest](t, data)
		roundTrip[events.ResolveResponse](t, data)
		roundTrip[contract.RecordDue](t, data)
		roundTrip[contract.SyncDue](t, data)
		roundTrip[contract.LiveDue](t, data)
		roundTrip[events.RecordPublished](t, data)
		roundTrip[events.RecordResolved](t, data)
		roundTrip[events.SyncFinished](t, data)
		roundTrip[events.DAGWanted](t, data)
		roundTrip[contract.DeadLetter](t, data)
		if n, err := nostr.Decode[events.NoteMissing](data); err == nil {
			if once, err := n.Validate(false); err == nil {
				if twice, err := once.Validate(false); err != nil || !reflect.DeepEqual(once, twice) {
					t.Errorf("%q is %+v once and %+v twice, %v", data, once, twice, err)
				}
			}
		}
	})
}
