package stage

import (
	"encoding/hex"
	"fmt"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// Item returns the signed item of a record. An error names the field that has
// the wrong length or alphabet; the signature is not checked.
func Item(r contract.Record) (bep44.Item, error) {
	it := bep44.Item{Seq: r.Seq, Value: r.Value}
	if n, err := hex.Decode(it.Key[:], clip(r.DHTKey, 64)); err != nil || n != 32 || len(r.DHTKey) != 64 {
		return it, fmt.Errorf("dht_key: want 64 hex digits, got %d characters", len(r.DHTKey))
	}
	if n, err := hex.Decode(it.Sig[:], clip(r.Sig, 128)); err != nil || n != 64 || len(r.Sig) != 128 {
		return it, fmt.Errorf("dht_sig: want 128 hex digits, got %d characters", len(r.Sig))
	}
	salt, err := hex.DecodeString(r.Salt)
	if err != nil {
		return it, fmt.Errorf("salt: want hex digits")
	}
	it.Salt = salt
	return it, nil
}

// SetItem puts an item into a record and leaves the rest of it alone.
func SetItem(r *contract.Record, it bep44.Item) {
	r.DHTKey = hex.EncodeToString(it.Key[:])
	r.Salt = hex.EncodeToString(it.Salt)
	r.Seq = it.Seq
	r.Value = it.Value
	r.Sig = hex.EncodeToString(it.Sig[:])
}

// TargetHex returns the DHT target of an item in hex, as subjects and KV keys
// carry it.
func TargetHex(it bep44.Item) string {
	target := it.Target()
	return hex.EncodeToString(target[:])
}

func clip(s string, n int) []byte { return []byte(s[:min(len(s), n)]) }
