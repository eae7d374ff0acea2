package schnorr

import (
	"strings"
	"testing"

	"github.com/nbd-wtf/go-nostr/nip19"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Codes of public test vectors: fiatjaf's key and an event of his.
const (
	somebody = "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d"
	npub     = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6"
	nprofile = "nprofile1qqsrhuxx8l9ex335q7he0f09aej04zpazpl0ne2cgukyawd24mayt8gpp4mhxue69uhhytnc9e3k7mgpz4mhxue69uhkg6nzv9ejuumpv3" +
		"4kytnrdaksjlyr9p"
	nsec = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
)

// naddrOf is the code of an address of somebody.
func naddrOf(kind int, d string) string {
	code, err := nip19.EncodeEntity(somebody, kind, d, nil)
	if err != nil {
		panic(err)
	}
	return code
}

func TestReadFilterTakesCodes(t *testing.T) {
	for text, want := range map[string]string{
		`{"authors":["` + npub + `"]}`:                                          `{"authors":["` + somebody + `"]}`,
		`{"authors":[" nostr:` + npub + `\n"]}`:                                 `{"authors":["` + somebody + `"]}`,
		`{"authors":["` + strings.ToUpper(npub) + `"]}`:                         `{"authors":["` + somebody + `"]}`,
		`{"authors":["` + nprofile + `"]}`:                                      `{"authors":["` + somebody + `"]}`,
		"\ufeff" + `{"authors":["` + strings.ToUpper(somebody) + `"]}` + "\r\n": `{"authors":["` + somebody + `"]}`,
		`{"#p":["` + npub + `"],"#P":["@` + npub + `"]}`:                        `{"#P":["` + somebody + `"],"#p":["` + somebody + `"]}`,
		`{"ids":["` + strings.ToUpper(somebody) + `"]}`:                         `{"ids":["` + somebody + `"]}`,
		`{"#a":["30023:` + strings.ToUpper(somebody) + `:A:b"]}`:                `{"#a":["30023:` + somebody + `:A:b"]}`,
		`{"#a":["` + naddrOf(10002, "x") + `"]}`:                                `{"#a":["10002:` + somebody + `:"]}`,
		`{"#a":["30023:` + npub + `:x:y"]}`:                                     `{"#a":["30023:` + somebody + `:x:y"]}`,
		`{"#q":["10002:` + somebody + `:","` + somebody + `"]}`:                 `{"#q":["10002:` + somebody + `:","` + somebody + `"]}`,
		`{"#t":["` + npub + `","Ü",""],"#d":[""],"#r":["x"]}`:                   `{"#d":[""],"#r":["x"],"#t":["` + npub + `","Ü",""]}`,
		`{"kinds":[0,65535],"since":0,"until":0,"limit":0}`:                     `{"kinds":[0,65535],"limit":0,"until":0}`,
		`{"authors":[],"since":5,"until":5}`:                                    `{"authors":[],"since":5,"until":5}`,
	} {
		if f, err := ReadFilter(text); err != nil || string(nostr.Encode(f)) != want {
			t.Errorf("%s: %s, %v, want %s", text, nostr.Encode(f), err, want)
		}
	}
}

func TestReadFilterNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string][]string{
		``:                                               {"invalid filter: it is not JSON"},
		`{kinds:[1]}`:                                    {"invalid filter: it is not JSON", "double quotes"},
		`{"kinds":[1]}{"kinds":[2]}`:                     {"invalid filter: it is not JSON"},
		`{"kinds":[1],"kinds":[2]}`:                      {"kinds stands twice"},
		`{"#t":[],"#t":[]}`:                              {"#t stands twice"},
		`null`:                                           {"null"},
		`{"kinds":[65536]}`:                              {"kinds", "65536", "0..65535"},
		`{"kinds":[-1]}`:                                 {"kinds", "-1"},
		`{"kinds":["1"]}`:                                {"kinds", "whole numbers", "string"},
		`{"kinds":[1.5]}`:                                {"kinds", "1.5"},
		`{"kinds":7}`:                                    {"kinds", "a list"},
		`{"since":-1}`:                                   {"since", "-1 is negative"},
		`{"until":-1}`:                                   {"until", "-1 is negative"},
		`{"limit":-1}`:                                   {"limit", "-1 is negative"},
		`{"since":1700000000000}`:                        {"since", "milliseconds"},
		`{"until":1e12}`:                                 {"until", "whole number"},
		`{"since":6,"until":5}`:                          {"since: 6 is after until"},
		`{"since":6,"until":0}`:                          {"since: 6 is after until"},
		`{"#1":["x"]}`:                                   {"#1", "letter"},
		`{"authors":["` + somebody[1:] + `"]}`:           {"authors", "63 characters", "64 hex digits"},
		`{"authors":["` + somebody[1:] + `g"]}`:          {"authors", "64 hex digits"},
		`{"authors":["` + npub[:40] + `"]}`:              {"authors", "npub", "checksum"},
		`{"authors":["note1x"]}`:                         {"authors", "id of an event", "#e"},
		`{"ids":["` + npub + `"]}`:                       {"ids", "public key", "authors or #p"},
		`{"#e":["` + nprofile + `"]}`:                    {"#e", "public key", "authors or #p"},
		`{"#p":["naddr1x"]}`:                             {"#p", "address", "#a"},
		`{"#a":["1:` + somebody + `:"]}`:                 {"#a", "not replaceable or addressable"},
		`{"#q":["1:` + somebody + `:x"]}`:                {"#q", "not replaceable or addressable"},
		`{"#a":["` + naddrOf(1, "x") + `"]}`:             {"#a", "not replaceable or addressable"},
		`{"#q":["` + naddrOf(20000, "") + `"]}`:          {"#q", "not replaceable or addressable"},
		`{"#a":["30023:` + nsec + `:x"]}`:                {"#a", "secret key"},
		`{"#a":["30023:x:x"]}`:                           {"#a", "pubkey", "a public key"},
		`{"#a":["30023:` + somebody + `"]}`:              {"#a", "kind:pubkey:d"},
		`{"#E":[""]}`:                                    {"#E", "0 characters"},
		`{"authors":["` + nsec + `"]}`:                   {"authors", "secret key"},
		`{"#t":["nostr:` + strings.ToUpper(nsec) + `"]}`: {"#t", "secret key"},
		`{"ids":["ncryptsec1qq"]}`:                       {"ids", "secret key"},
	} {
		f, err := ReadFilter(text)
		if err == nil {
			t.Errorf("%s: is read as %s", text, nostr.Encode(f))
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q", text, err, part)
			}
		}
		if strings.Contains(strings.ToLower(err.Error()), nsec[:20]) {
			t.Errorf("%s: the secret is repeated: %v", text, err)
		}
	}
}
