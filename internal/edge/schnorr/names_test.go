package schnorr

import (
	"strings"
	"testing"

	"github.com/nbd-wtf/go-nostr/nip19"
)

// What people paste for a key and for an event.
func TestNamesOfKeysAndEvents(t *testing.T) {
	const key = "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d"
	id := strings.Repeat("01", 32)
	must := func(code string, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	npub := must(nip19.EncodePublicKey(key))
	profile := must(nip19.EncodeProfile(key, []string{"wss://a.example"}))
	for _, text := range []string{key, npub, profile, strings.ToUpper(profile)} {
		if got, err := ParsePublicKey(text); err != nil || got != key {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	note, event := must(nip19.EncodeNote(id)), must(nip19.EncodeEvent(id, nil, key))
	for _, text := range []string{id, note, event, "nostr:" + note} {
		if got, err := ParseEventID(text); err != nil || got != id {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	address := must(nip19.EncodeEntity(key, 30023, "x", nil))
	for _, text := range []string{npub, address, "30023:" + key + ":x", "", profile} {
		if got, err := ParseEventID(text); err == nil {
			t.Errorf("%s is taken for the event %s", text, got)
		}
	}
	for _, text := range []string{note, event, profile[:len(profile)-1], "nprofile1", ""} {
		if got, err := ParsePublicKey(text); err == nil {
			t.Errorf("%s is taken for the key %s", text, got)
		}
	}
}
