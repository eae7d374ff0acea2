package schnorr

import (
	"reflect"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/bech32"
	"github.com/nbd-wtf/go-nostr/nip19"

	"github.com/relaymesh/relaymesh/pkg/events"
)

func TestParseNote(t *testing.T) {
	id, author := strings.Repeat("0a", 32), strings.Repeat("0b", 32)
	relays := []string{"wss://a.example", "wss://b.example/path"}
	must := func(code string, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	note := must(nip19.EncodeNote(id))
	nevent := must(nip19.EncodeEvent(id, relays, author))
	naddr := must(nip19.EncodeEntity(author, 30023, "slug:1", relays))
	noD := must(nip19.EncodeEntity(author, 10002, "", nil))
	for code, want := range map[string]events.NoteMissing{
		id:                                   {EventID: id},
		strings.ToUpper(id):                  {EventID: id},
		note:                                 {EventID: id},
		" nostr:" + note + "\n":              {EventID: id},
		strings.ToUpper(note):                {EventID: id},
		must(nip19.EncodeEvent(id, nil, "")): {EventID: id},
		nevent:                               {EventID: id, AuthorPubkey: author, Relays: relays},
		naddr:                                {Address: "30023:" + author + ":slug:1", AuthorPubkey: author, Relays: relays},
		noD:                                  {Address: "10002:" + author + ":", AuthorPubkey: author},
		"30023:" + author + ":slug":          {Address: "30023:" + author + ":slug", AuthorPubkey: author},
	} {
		if got, err := ParseNote(code); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", code, got, err)
		}
	}
	encode := func(prefix string, raw ...byte) string {
		bits, err := bech32.ConvertBits(raw, 8, 5, true)
		if err != nil {
			t.Fatal(err)
		}
		return must(bech32.Encode(prefix, bits))
	}
	for code, want := range map[string]string{
		"":                                       "want note1",
		"hello":                                  "want note1",
		must(nip19.EncodePublicKey(author)):      "want note1",
		"nevent1" + strings.Repeat("q", maxCode): "want note1",
		nevent[:len(nevent)-1]:                   "checksum",
		encode("note", 1, 2, 3):                  "holds 3 bytes",
		encode("nevent"):                         "holds 0 bytes",
		encode("nevent", 0, 32, 1):               "cut off",
		encode("nevent", 0):                      "cut off",
		encode("naddr", 0, 1, 'd'):               "missing",
		encode("nevent", 2, 1, 1):                "author",
		must(nip19.EncodeEntity(author, 1, "d", nil)): "not replaceable",
		"1:" + author + ":d":                          "not replaceable",
	} {
		if got, err := ParseNote(code); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %q", code, got, err, want)
		}
	}
}

func FuzzParseNote(f *testing.F) {
	f.Add("nevent", []byte{0, 1, 1, 2, 0})
	f.Add("naddr", []byte{3, 4, 0, 0, 0, 1})
	f.Add("nevent", append([]byte{1, 255}, make([]byte, 255)...)) // a length that once did not fit
	f.Fuzz(func(_ *testing.T, prefix string, raw []byte) {
		_, _ = pointer(prefix, raw) // must not panic
		_, _ = ParseNote(prefix)
	})
}
