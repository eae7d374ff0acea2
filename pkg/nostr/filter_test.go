package nostr_test

import (
	"encoding/json"
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

func TestFilterRefusesUnknownKeys(t *testing.T) {
	var f nostr.Filter
	if err := json.Unmarshal([]byte(`{"autors":["x"]}`), &f); err == nil || !strings.Contains(err.Error(), `"autors"`) {
		t.Errorf("error is %v, want one that names the key", err)
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
	} {
		if got := tc.f.Match(&e); got != tc.want {
			t.Errorf("%+v: match is %t", tc.f, got)
		}
	}
}
