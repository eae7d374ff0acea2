package events_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/events"
)

func TestFilterJSONIsCanonical(t *testing.T) {
	f := events.Filter{Authors: []string{"b", "a"}, Kinds: []int{1}, Since: 5, Tags: map[string][]string{"p": {"x"}, "e": {"y"}}}
	got, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"#e":["y"],"#p":["x"],"authors":["b","a"],"kinds":[1],"since":5}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if empty, _ := json.Marshal(events.Filter{}); string(empty) != "{}" {
		t.Errorf("the empty filter is %s, want {}", empty)
	}
	var back events.Filter
	if err := json.Unmarshal(got, &back); err != nil || back.Tags["p"][0] != "x" || back.Since != 5 {
		t.Errorf("read back %+v, %v", back, err)
	}
}

func TestFilterRefusesUnknownKeys(t *testing.T) {
	var f events.Filter
	if err := json.Unmarshal([]byte(`{"autors":["x"]}`), &f); err == nil || !strings.Contains(err.Error(), `"autors"`) {
		t.Errorf("error is %v, want one that names the key", err)
	}
}

func TestFilterMatch(t *testing.T) {
	e := events.Event{ID: "i", PubKey: "a", Kind: 1, CreatedAt: 10, Tags: []events.Tag{{"p", "x"}, {"t"}}}
	for _, tc := range []struct {
		f    events.Filter
		want bool
	}{
		{events.Filter{}, true},
		{events.Filter{IDs: []string{"i"}}, true},
		{events.Filter{IDs: []string{"j"}}, false},
		{events.Filter{Authors: []string{"b"}}, false},
		{events.Filter{Kinds: []int{2}}, false},
		{events.Filter{Since: 10, Until: 10}, true},
		{events.Filter{Since: 11}, false},
		{events.Filter{Until: 9}, false},
		{events.Filter{Tags: map[string][]string{"p": {"y", "x"}}}, true},
		{events.Filter{Tags: map[string][]string{"p": {"y"}}}, false},
		{events.Filter{Tags: map[string][]string{"p": {"x"}, "e": {"x"}}}, false},
	} {
		if got := tc.f.Match(&e); got != tc.want {
			t.Errorf("%+v: match is %t", tc.f, got)
		}
	}
}
