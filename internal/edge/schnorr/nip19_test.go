package schnorr

import (
	"reflect"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/bech32"
	"github.com/nbd-wtf/go-nostr/nip19"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
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
		id:                                 {EventID: id},
		strings.ToUpper(id):                {EventID: id},
		note:                               {EventID: id},
		" nostr:" + note + "\n":            {EventID: id},
		"NOSTR:" + strings.ToUpper(nevent): {EventID: id, AuthorPubkey: author, Relays: relays}, // as QR codes have it
		strings.ToUpper(note):              {EventID: id},
		"https://njump.me/" + note:         {EventID: id},
		"https://primal.net/e/" + nevent + "?from=x":             {EventID: id, AuthorPubkey: author, Relays: relays},
		"HTTPS://NOSTRUDEL.NINJA/#/N/" + strings.ToUpper(nevent): {EventID: id, AuthorPubkey: author, Relays: relays},
		"web+nostr://" + note:                                    {EventID: id},
		"\ufeff\u200b" + note + "\u2060\r\n":                     {EventID: id},
		must(nip19.EncodeEvent(id, nil, "")):                     {EventID: id},
		nevent:                                                   {EventID: id, AuthorPubkey: author, Relays: relays},
		naddr:                                                    {Address: "30023:" + author + ":slug:1", AuthorPubkey: author, Relays: relays},
		noD:                                                      {Address: "10002:" + author + ":", AuthorPubkey: author},
		must(nip19.EncodeEntity(author, 0, "", nil)): {Address: "0:" + author + ":", AuthorPubkey: author},
		"0:" + author: {Address: "0:" + author + ":", AuthorPubkey: author},
		"10002:" + must(nip19.EncodePublicKey(author)): {Address: "10002:" + author + ":", AuthorPubkey: author},
		"30023:" + strings.ToUpper(author) + ":slug":   {Address: "30023:" + author + ":slug", AuthorPubkey: author},
		"30023:" + author + ":slug":                    {Address: "30023:" + author + ":slug", AuthorPubkey: author},
	} {
		if got, err := ParseNote(code); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", code, got, err)
		}
	}
	for code, want := range map[string]string{
		"":                                    "want note1",
		"hello":                               "want note1",
		must(nip19.EncodePublicKey(author)):   "want note1",
		"nevent1" + strings.Repeat("q", 5000): "at most 5000",
		nevent[:len(nevent)-1]:                "checksum",
		nevent[:12] + "…" + nevent[50:]:       "the nevent is shortened",
		note[:12] + "..." + note[50:]:         "the note is shortened",
		note + "'s":                           `the note has the character '\''`,
		note[:20] + "b" + note[21:]:           `the note has the character 'b'`,
		id[1:]:                                "this has 63 characters",
		"“" + id + "0”":                       "this has 65 characters",
		encode("note", 1, 2, 3):               "note: has 3 bytes, want 32",
		encode("nevent"):                      "nevent: no id",
		encode("nevent", 0, 32, 1):            "nevent: is cut off",
		encode("nevent", 0):                   "nevent: is cut off",
		encode("note1q", make([]byte, 32)...): "has the character '1'", // of another prefix
		encodeM("note", make([]byte, 32)...):  "checksum",              // of Bech32m
		encode("nevent", append(append([]byte{0, 32}, make([]byte, 32)...), 1, 9)...): "nevent: is cut off",
		encode("naddr", 0, 1, 'd'):                    "author or kind is missing",
		must(nip19.EncodeEntity(author, 0, "d", nil)): "author or kind is missing",
		encode("naddr", 3, 2, 1, 1):                   "naddr: its kind is cut off",
		encode("nevent", 2, 1, 1):                     "nevent: its author",
		must(nip19.EncodePrivateKey(id)):              "secret key, which may stand",
		must(nip19.EncodeProfile(id, nil)):            "a person and no event",
		must(nip19.EncodeEntity(author, 1, "d", nil)): "not replaceable",
		"1:" + author + ":d":                          "not replaceable",
	} {
		if got, err := ParseNote(code); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %q", code, got, err, want)
		}
	}
}

// encode writes a code of any bytes.
func encode(prefix string, raw ...byte) string { return encodeBy(bech32.Encode, prefix, raw) }

// encodeM does so with the checksum of Bech32m.
func encodeM(prefix string, raw ...byte) string { return encodeBy(bech32.EncodeM, prefix, raw) }

func encodeBy(write func(string, []byte) (string, error), prefix string, raw []byte) string {
	bits, err := bech32.ConvertBits(raw, 8, 5, true)
	if err != nil {
		panic(err)
	}
	code, err := write(prefix, bits)
	if err != nil {
		return ""
	}
	return code
}

// Whatever a code holds, it names an event or is refused.
func FuzzParseNote(f *testing.F) {
	f.Add("nevent", []byte{0, 1, 1, 2, 0})
	f.Add("naddr", []byte{3, 4, 0, 0, 0, 1})
	f.Add("naddr", []byte{3, 0})
	f.Add("nevent", append([]byte{1, 255}, make([]byte, 255)...)) // a length that once did not fit
	f.Fuzz(func(t *testing.T, prefix string, raw []byte) {
		for _, code := range []string{encode(prefix, raw...), prefix} {
			n, err := ParseNote(code)
			if err == nil && !nostr.IsHex(n.EventID, 32) && n.Address == "" {
				t.Errorf("%q names %+v", code, n)
			}
		}
	})
}
