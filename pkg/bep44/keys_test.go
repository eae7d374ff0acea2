package bep44_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

func TestNostrKeyIsDerivedFromTheClampedSecret(t *testing.T) {
	var secret [32]byte
	for i := range secret {
		secret[i] = byte(0xff - i)
	}
	// Python's hashlib.sha256 of f8fefdfc..e160, the clamped secret.
	const want = "913b5639bb53583ec647241cb5e368b8cd82c9725909a141dd35b1dd58aae17a"
	key := bep44.KeyFromNostr(secret)
	if got := hex.EncodeToString(key.Seed()); got != want {
		t.Errorf("seed is %s, want %s", got, want)
	}
	same := secret
	same[0] &^= 7
	if !bep44.KeyFromNostr(same).Equal(key) {
		t.Error("bits that clamping clears change the key")
	}
	other := secret
	other[16] ^= 1
	if bep44.KeyFromNostr(other).Equal(key) {
		t.Error("another secret gives the same key")
	}
}

func TestLegacyKeysAreSHA1(t *testing.T) {
	var secret [32]byte
	for i := range secret {
		secret[i] = byte(0xff - i)
	}
	if got, want := fmt.Sprintf("%x", bep44.LegacySecretDHTKey(secret)), "3cdae00d45efef1b8ff08de64e7d9bb1f54b528a"; got != want {
		t.Errorf("secret: %s, want %s", got, want)
	}
	if got, want := fmt.Sprintf("%x", bep44.LegacyPublicDHTKey(secret)), "2addc667d4b3febb927755f0a761f25520e40e83"; got != want {
		t.Errorf("public: %s, want %s", got, want)
	}
}

// For a key of small order the signature R = identity, S = 0 verifies for one message in eight or more, and nobody
// needed a secret. The test shows that crypto/ed25519 accepts it and Verify does not.
func TestKeysOfSmallOrderAreRefused(t *testing.T) {
	keys := []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000080",
	}
	for _, k := range keys {
		it := bep44.Item{Key: unhex[[32]byte](t, k), Value: []byte("1:x"), Sig: [64]byte{1}}
		forged := false
		for it.Seq = 0; it.Seq < 256 && !forged; it.Seq++ {
			forged = ed25519.Verify(it.Key[:], it.SignedBuffer(), it.Sig[:])
			if forged && !errors.Is(it.Verify(), bep44.ErrBadSignature) {
				t.Errorf("%s: forged signature accepted with seq %d", k, it.Seq)
			}
		}
		if !forged {
			t.Errorf("%s: no forgery found, so it is no key of small order", k)
		}
	}
	if key := [32]byte(testKey().Public().(ed25519.PublicKey)); bep44.SmallOrder(key) {
		t.Error("an honest key counts as small order")
	}
}

func TestSeedOfTheHornetsDirectoryBelongsToAnotherKey(t *testing.T) {
	seed := unhex[[32]byte](t, "518d31745e172814f4bc5e2c88ae2f36377ac2f4d3e13868acc69f3f88992bdb")
	it := bep44.Item{Salt: bep44.HornetsDirectorySalt(7), Value: []byte("2:{}")}
	if err := it.Sign(ed25519.NewKeyFromSeed(seed[:])); err != nil {
		t.Fatal(err)
	}
	if string(it.Salt) != "nostr:relay:7" {
		t.Errorf("salt is %q", it.Salt)
	}
	it.Key = bep44.HornetsDirectoryKey
	if err := it.Verify(); !errors.Is(err, bep44.ErrBadSignature) {
		t.Errorf("the published seed signs for the directory: %v", err)
	}
	// Nor does the library that HORNETS uses make a valid one when seed and key are given to it together.
	together := ed25519.PrivateKey(append(seed[:], it.Key[:]...))
	copy(it.Sig[:], ed25519.Sign(together, it.SignedBuffer()))
	if err := it.Verify(); !errors.Is(err, bep44.ErrBadSignature) {
		t.Errorf("seed and key together sign for the directory: %v", err)
	}
}
