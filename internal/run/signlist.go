package run

import (
	"encoding/hex"
	"fmt"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// SignedList is a relay list that its user signed for the DHT and for Nostr.
type SignedList struct {
	Item bep44.Item // seq is the time of signing, in Unix seconds
	// DHT is kind 11011, which carries the item; NIP65 is kind 10002, which
	// says the same to clients that know no DHT.
	DHT, NIP65 nostr.Event
}

// SignList signs a list of relay URLs at a time (Unix seconds), with the Nostr
// key and with the ed25519 key that is derived from it.
func SignList(key *schnorr.SecretKey, relays []string, now int64) (SignedList, error) {
	var s SignedList
	value, err := bep44.EncodeRelayList(relays)
	if err != nil {
		return s, err
	}
	secret, err := hex.DecodeString(key.Hex())
	if err != nil {
		return s, err
	}
	s.Item = bep44.Item{Seq: now, Value: value}
	if err := s.Item.Sign(bep44.KeyFromNostr([32]byte(secret))); err != nil {
		return s, fmt.Errorf("couldn't sign for the DHT: %w", err)
	}
	s.DHT = nostr.Event{
		CreatedAt: now, Kind: nostr.KindDHTList, Content: hex.EncodeToString(s.Item.SignedBuffer()),
		Tags: []nostr.Tag{
			{"dht_pubkey", hex.EncodeToString(s.Item.Key[:])},
			{"dht_sig", hex.EncodeToString(s.Item.Sig[:])},
		},
	}
	s.NIP65 = nostr.Event{CreatedAt: now, Kind: nostr.KindRelayList, Tags: []nostr.Tag{}}
	for _, url := range relays {
		s.NIP65.Tags = append(s.NIP65.Tags, nostr.Tag{"r", url})
	}
	for _, e := range []*nostr.Event{&s.DHT, &s.NIP65} {
		if err := key.SignEvent(e); err != nil {
			return s, fmt.Errorf("couldn't sign the event: %w", err)
		}
	}
	return s, nil
}
