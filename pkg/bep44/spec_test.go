package bep44_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// The vectors of docs/spec/dht-relay-list.md hold here as they are to hold elsewhere.
func TestVectorsOfTheSpecification(t *testing.T) {
	text, err := os.ReadFile("../../docs/spec/dht-relay-list.json")
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Lists []struct {
			Secret    string `json:"nostr_secret_key"`
			Key       string `json:"dht_key"`
			Relays    []string
			Seq       int64
			Value     string
			Buffer    string `json:"signed_buffer"`
			Signature string
			Target    string
		}
		Refused []struct{ Value, Why string }
	}
	if err := json.Unmarshal(text, &spec); err != nil || len(spec.Lists) < 3 || len(spec.Refused) < 6 {
		t.Fatalf("%d and %d vectors, %v", len(spec.Lists), len(spec.Refused), err)
	}
	for _, v := range spec.Lists {
		secret, err := hex.DecodeString(v.Secret)
		if err != nil {
			t.Fatal(err)
		}
		key := bep44.KeyFromNostr([32]byte(secret))
		value, err := bep44.EncodeRelayList(v.Relays)
		if err != nil {
			t.Fatal(err)
		}
		item := bep44.Item{Seq: v.Seq, Value: value}
		if err := item.Sign(key); err != nil {
			t.Fatal(err)
		}
		target := item.Target()
		for what, pair := range map[string][2]string{
			"key":    {hex.EncodeToString(key.Public().(ed25519.PublicKey)), v.Key},
			"value":  {hex.EncodeToString(value), v.Value},
			"buffer": {hex.EncodeToString(item.SignedBuffer()), v.Buffer},
			"sig":    {hex.EncodeToString(item.Sig[:]), v.Signature},
			"target": {hex.EncodeToString(target[:]), v.Target},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s of seq %d is %s, want %s", what, v.Seq, pair[0], pair[1])
			}
		}
		if relays, err := bep44.DecodeRelayList(value); err != nil || !slices.Equal(relays, v.Relays) {
			t.Errorf("read as %q, %v", relays, err)
		}
	}
	for _, v := range spec.Refused {
		value, err := hex.DecodeString(v.Value)
		if err != nil {
			t.Fatal(err)
		}
		if relays, err := bep44.DecodeRelayList(value); err == nil {
			t.Errorf("%s: read as %q", v.Why, relays)
		}
	}
}
