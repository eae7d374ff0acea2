package events_test

import (
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/events"
)

var key32 = strings.Repeat("0a", 32)

func TestNoteMissingValidateNamesTheField(t *testing.T) {
	for want, n := range map[string]events.NoteMissing{
		"event_id: missing": {}, "event_id: want": {EventID: "xyz"}, "author_pubkey:": {EventID: key32, AuthorPubkey: "x"},
		"dht_key:": {EventID: key32, DHTKey: "x"}, "referenced_by:": {EventID: key32, ReferencedBy: "x"},
		"relays:": {EventID: key32, Relays: make([]string, 21)}, "address": {Address: "1:" + key32 + ":"},
	} {
		if _, err := n.Validate(false); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: error is %v, want %q", n, err, want)
		}
	}
	n, err := events.NoteMissing{EventID: key32, Relays: []string{"wss://Relay.example.com/", "http://x.y", "ws://127.0.0.1"}}.Validate(false)
	if err != nil || len(n.Relays) != 1 || n.Relays[0] != "wss://relay.example.com" {
		t.Errorf("hints are %v, %v", n.Relays, err)
	}
}
