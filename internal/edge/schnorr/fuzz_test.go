package schnorr

import (
	"strings"
	"testing"

	"github.com/nbd-wtf/go-nostr/nip19"
)

// FuzzKeys reads keys as people write them. What is read is the same when it is
// written and read again, and no error repeats a secret.
func FuzzKeys(f *testing.F) {
	for _, text := range []string{
		"nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5", "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6",
		"NPUB180CVV07TJDRRGPA0J7J7TMNYL2YR6YR7L8J4S3EVF6U64TH6GKWSYJH6W6", "nsec1", "npub1hello", strings.Repeat("0", 63) + "1",
		strings.Repeat("F", 64), strings.Repeat("0", 64), "note1", "\xff",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if key, err := ParseSecret(text); err == nil {
			nsec, err := nip19.EncodePrivateKey(key.Hex())
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseSecret(nsec); err != nil || again.Hex() != key.Hex() {
				t.Errorf("%q becomes %q, which is another key, %v", text, nsec, err)
			}
		} else if len(text) > 8 && strings.Contains(err.Error(), text) {
			t.Errorf("the error repeats the secret: %v", err)
		}
		if key, err := ParsePublicKey(text); err == nil {
			npub, err := EncodeNpub(key)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParsePublicKey(npub); err != nil || again != key {
				t.Errorf("%q becomes %q, which is another key, %v", text, npub, err)
			}
		}
	})
}
