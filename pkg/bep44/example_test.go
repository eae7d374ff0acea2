package bep44_test

import (
	"crypto/ed25519"
	"fmt"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// An owner signs a relay list, and anyone can check it.
func Example() {
	value, err := bep44.EncodeRelayList([]string{"wss://relay.example.com", "wss://nos.example"})
	if err != nil {
		fmt.Println(err)
		return
	}
	item := bep44.Item{Seq: 1720000000, Value: value}
	if err := item.Sign(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))); err != nil { // take a real one
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", item.SignedBuffer())
	fmt.Printf("%x\n", item.Target())
	fmt.Println(item.Verify())
	// Output:
	// 3:seqi1720000000e1:v47:["wss://relay.example.com","wss://nos.example"]
	// 8c30c97e7fd5460ce3b962db4cd75879eecd8abd
	// <nil>
}

// A kind 11011 event carries the signed buffer, the key and the signature apart.
func ExampleParseSignedBuffer() {
	item, err := bep44.ParseSignedBuffer([]byte(`4:salt5:nostr3:seqi2e1:v13:["wss://nos"]`))
	if err != nil {
		fmt.Println(err)
		return
	}
	urls, err := bep44.DecodeRelayList(item.Value)
	fmt.Printf("%s %d %s %v\n", item.Salt, item.Seq, urls, err)
	_, err = bep44.ParseSignedBuffer([]byte(`3:seqi02e1:v2:[]`))
	fmt.Println(err)
	// Output:
	// nostr 2 [wss://nos] <nil>
	// bep44: integer "02" is not canonical or not within 64 bits (code 203)
}

// Two items of one target: the higher seq wins.
func ExampleCompare() {
	sign := func(seq int64, text string) *bep44.Item {
		it := &bep44.Item{Seq: seq, Value: bep44.EncodeString([]byte(text))}
		_ = it.Sign(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
		return it
	}
	held := sign(7, "a")
	for _, offered := range []*bep44.Item{sign(6, "b"), sign(7, "a"), sign(8, "b"), sign(7, "b")} {
		fmt.Println(bep44.Compare(offered, held))
	}
	// Output:
	// older
	// same
	// newer
	// equivocal
}
