package nostr_test

import (
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// FuzzFilter reads filters as clients and the config file have them. Writing and
// reading again gives a filter that says, and so matches, the same.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{
		`{"ids":["00"],"authors":[],"kinds":[1,-5],"#t":["x",""],"since":-1,"until":9223372036854775807,"limit":3}`, `{"#":[]}`, `{"#e":null}`,
		`{"#é":["x"]}`,
		`{"kinds":null}`, `{"search":"x"}`, `[]`, `null`, `{"kinds":[1e3]}`, `{"kinds":[99999999999999999999]}`, `{"ids":["\ud800"]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		filter, err := nostr.Decode[nostr.Filter](data)
		if err != nil {
			return
		}
		again, err := nostr.Decode[nostr.Filter](nostr.Encode(filter))
		if err != nil || again.Key() != filter.Key() {
			t.Errorf("%q: %+v, then %+v, %v", data, filter, again, err)
		}
		e := nostr.Event{ID: "00", Kind: 1, CreatedAt: 5, Tags: []nostr.Tag{{"t", "x"}, {}}}
		if filter.Match(&e) != again.Match(&e) {
			t.Errorf("%q matches otherwise when read again", data)
		}
	})
}
