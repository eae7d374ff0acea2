package nostr_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestFilterJSONIsCanonical(t *testing.T) {
	f := nostr.Filter{Authors: []string{"b", "a"}, Kinds: []int{1}, Since: 5, Tags: map[string][]string{"p": {"x"}, "e": {"y"}}}
	got, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"#e":["y"],"#p":["x"],"authors":["b","a"],"kinds":[1],"since":5}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if empty, _ := json.Marshal(nostr.Filter{}); string(empty) != "{}" {
		t.Errorf("the empty filter is %s, want {}", empty)
	}
	var back nostr.Filter
	if err := json.Unmarshal(got, &back); err != nil || back.Tags["p"][0] != "x" || back.Since != 5 {
		t.Errorf("read back %+v, %v", back, err)
	}
}

func TestFilterNamesWhatItRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"autors":["x"]}`:       `"autors"`,
		`{"#long":["x"]}`:        `"#long"`,
		`{"search":"x"}`:         `"search"`,
		`null`:                   "null is not a JSON object",
		`[]`:                     "[] is not a JSON object",
		`{"ids":null}`:           "ids: null",
		`{"authors":[null]}`:     "authors: null",
		`{"authors":["a",null]}`: "authors: null",
		`{"kinds":[1,null]}`:     "kinds: null",
		`{"#e":null}`:            "#e: null",
		`{"since":null}`:         "since: null",
		`{"until":null}`:         "until: null",
		`{"limit":null}`:         "limit: null",
		`{"kinds":1}`:            "kinds: ",
		`{"ids":[5]}`:            "ids: ",
		`{"limit":"5"}`:          "limit: ",
	} {
		var f nostr.Filter
		if err := json.Unmarshal([]byte(text), &f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want one that names %s", text, err, want)
		}
	}
	var f nostr.Filter
	if err := json.Unmarshal([]byte(`{"x":1}`), &f); !errors.Is(err, nostr.ErrUnknownKey) {
		t.Errorf("an unknown key is %v", err)
	}
}

// What is absent stands for everything, and what is empty for nothing.
func TestFilterKeepsAbsentAndEmptyApart(t *testing.T) {
	e := nostr.Event{ID: "00", CreatedAt: 5}
	for text, match := range map[string]bool{
		`{}`: true, `{"limit":0}`: true, `{"limit":7}`: true, `{"since":-5}`: true, `{"until":5}`: true, `{"until":0}`: false,
		`{"ids":[]}`: false, `{"authors":[]}`: false, `{"kinds":[]}`: false, `{"#e":[]}`: false,
	} {
		f, err := nostr.Decode[nostr.Filter]([]byte(text))
		if err != nil || string(nostr.Encode(f)) != text || f.Match(&e) != match || f.Void() && match {
			t.Errorf("%s: %+v, %v; written as %s, match %t, void %t", text, f, err, nostr.Encode(f), f.Match(&e), f.Void())
		}
	}
	if f, err := nostr.Decode[nostr.Filter]([]byte(`{"limit":0}`)); err != nil || f.Limit != nostr.LimitZero {
		t.Errorf("limit 0 is read as %d, %v", f.Limit, err)
	}
	f := nostr.Filter{Until: -7, Limit: -7}
	if text := string(nostr.Encode(f)); text != `{"limit":0,"until":0}` || !f.Match(&nostr.Event{}) || f.Match(&e) {
		t.Errorf("%+v is written as %s", f, text)
	}
}

func TestFilterMatch(t *testing.T) {
	e := nostr.Event{ID: "i", PubKey: "a", Kind: 1, CreatedAt: 10, Tags: []nostr.Tag{{"p", "x"}, {"t"}}}
	for _, tc := range []struct {
		f    nostr.Filter
		want bool
	}{
		{nostr.Filter{}, true},
		{nostr.Filter{IDs: []string{"i"}}, true},
		{nostr.Filter{IDs: []string{"j"}}, false},
		{nostr.Filter{Authors: []string{"b"}}, false},
		{nostr.Filter{Kinds: []int{2}}, false},
		{nostr.Filter{Since: 10, Until: 10}, true},
		{nostr.Filter{Since: 11}, false},
		{nostr.Filter{Until: 9}, false},
		{nostr.Filter{Tags: map[string][]string{"p": {"y", "x"}}}, true},
		{nostr.Filter{Tags: map[string][]string{"p": {"y"}}}, false},
		{nostr.Filter{Tags: map[string][]string{"p": {"x"}, "e": {"x"}}}, false},
		{nostr.Filter{Tags: map[string][]string{"t": {""}}}, false}, // the tag has no value
		{nostr.Filter{IDs: []string{}}, false},
	} {
		if got := tc.f.Match(&e); got != tc.want {
			t.Errorf("%+v: match is %t", tc.f, got)
		}
	}
}
