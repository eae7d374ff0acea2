package bep44_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

func unhex[T [20]byte | [32]byte | [64]byte](t testing.TB, s string) (out T) {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	switch p := any(&out).(type) {
	case *[20]byte:
		copy(p[:], b)
	case *[32]byte:
		copy(p[:], b)
	case *[64]byte:
		copy(p[:], b)
	}
	return out
}

// testKey is the ed25519 key of the seed 00 01 .. 1f.
func testKey() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = byte(i)
	}
	return ed25519.NewKeyFromSeed(seed)
}

const (
	specKey = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548"
	ownKey  = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
)

// The first two are the vectors of BEP 44, the others are signed with testKey.
var vectors = []struct{ key, buf, sig, target string }{
	{
		specKey, "3:seqi1e1:v12:Hello World!",
		"305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01",
		"4a533d47ec9c7d95b1ad75f576cffc641853b750",
	},
	{
		specKey, "4:salt6:foobar3:seqi1e1:v12:Hello World!",
		"6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17ddf9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08",
		"411eba73b6f087ca51a3795d9c8c938d365e32c1",
	},
	{
		ownKey, `3:seqi1720000000e1:v47:["wss://relay.example.com","wss://nos.example"]`,
		"1fb32fb3b0c5132c85e68ebd18cababeeb1f5a472aacf6e5913ea44c50978cee21cd5081300b0d0d9f27740ff856e2584bcc7df9a457aae5a369e224a174df0d",
		"fd81a6db64d6faf7f702c07971a82c25c1dc3c90",
	},
	{
		ownKey, "4:salt5:nostr3:seqi2e1:v12:Hello World!",
		"febd2182e29478f8651912c5aafe2531594f7d6e325e7832b112a0c5a7aff67302785159acd24f86d2d036d5a39856cb1bedb22d3f35d1c658ac96676e15290b",
		"c27a8c8ba7b2d5d64fdd0ee605faedbd59d77945",
	},
	{
		ownKey, "3:seqi0e1:vd1:ai1e1:bl1:xee",
		"dbbb923894719abbccdcde41068d10867920bad2b85c7f41460589b3407eda27abfaeeaa6358953f332d1b6f1ae8c599d55f97bff516af40dfc830347993770c",
		"fd81a6db64d6faf7f702c07971a82c25c1dc3c90",
	},
}

func parseVector(t *testing.T, i int) bep44.Item {
	t.Helper()
	it, err := bep44.ParseSignedBuffer([]byte(vectors[i].buf))
	if err != nil {
		t.Fatalf("%s: %v", vectors[i].buf, err)
	}
	it.Key = unhex[[32]byte](t, vectors[i].key)
	it.Sig = unhex[[64]byte](t, vectors[i].sig)
	return it
}

func TestVectorsVerifyAndHitTheirTargets(t *testing.T) {
	for i, v := range vectors {
		it := parseVector(t, i)
		if got := it.SignedBuffer(); string(got) != v.buf {
			t.Errorf("signed buffer is %q, want %q", got, v.buf)
		}
		if got := it.Target(); got != unhex[[20]byte](t, v.target) {
			t.Errorf("%s: target is %x, want %s", v.buf, got, v.target)
		}
		if err := it.Verify(); err != nil {
			t.Errorf("%s: %v", v.buf, err)
		}
	}
}

func TestSignMakesTheVectorsOfTheSameKey(t *testing.T) {
	for i := 2; i < len(vectors); i++ {
		want := parseVector(t, i)
		got := bep44.Item{Salt: want.Salt, Seq: want.Seq, Value: want.Value}
		if err := got.Sign(testKey()); err != nil {
			t.Fatal(err)
		}
		if !got.Equal(&want) {
			t.Errorf("%s: signed %+v, want %+v", vectors[i].buf, got, want)
		}
	}
}

func TestAnyChangedBitBreaksTheSignature(t *testing.T) {
	change := map[string]func(*bep44.Item){
		"key":   func(it *bep44.Item) { it.Key[3] ^= 1 },
		"salt":  func(it *bep44.Item) { it.Salt = []byte("nostR") },
		"seq":   func(it *bep44.Item) { it.Seq++ },
		"value": func(it *bep44.Item) { it.Value = bytes.ToLower(it.Value) },
		"sig":   func(it *bep44.Item) { it.Sig[40] ^= 1 },
	}
	for what, change := range change {
		it := parseVector(t, 3)
		change(&it)
		if err := it.Verify(); !errors.Is(err, bep44.ErrBadSignature) {
			t.Errorf("changed %s: got %v, want code 206", what, err)
		}
	}
}

func TestCheckAnswersTheCodeOfBEP44(t *testing.T) {
	str := func(n int) []byte { return bep44.EncodeString(bytes.Repeat([]byte("x"), n)) }
	for _, c := range []struct {
		name string
		item bep44.Item
		want error
	}{
		{"longest string, 1000 bytes bencoded", bep44.Item{Value: str(996)}, nil},
		{"one byte more", bep44.Item{Value: str(997)}, bep44.ErrValueTooBig},
		{"longest salt", bep44.Item{Salt: make([]byte, 64), Value: str(1)}, nil},
		{"salt of 65", bep44.Item{Salt: make([]byte, 65), Value: str(1)}, bep44.ErrSaltTooBig},
		{"highest seq", bep44.Item{Seq: bep44.MaxSeq, Value: str(1)}, nil},
		{"seq above", bep44.Item{Seq: bep44.MaxSeq + 1, Value: str(1)}, bep44.ErrMalformed},
		{"negative seq", bep44.Item{Seq: -1, Value: str(1)}, bep44.ErrMalformed},
		{"no value", bep44.Item{}, bep44.ErrMalformed},
		{"nested 32 deep", bep44.Item{Value: nested(32)}, nil},
		{"nested 33 deep", bep44.Item{Value: nested(33)}, bep44.ErrMalformed},
	} {
		if err := c.item.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if err := c.item.Sign(testKey()); !errors.Is(err, c.want) {
			t.Errorf("%s: Sign gave %v, want %v", c.name, err, c.want)
		}
	}
}

func nested(depth int) []byte {
	return []byte(strings.Repeat("l", depth) + strings.Repeat("e", depth))
}
