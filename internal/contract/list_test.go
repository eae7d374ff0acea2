package contract

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestAListNamesEachRelayOnce(t *testing.T) {
	a, b, c := "wss://a.example", "wss://b.example", "wss://c.example"
	for _, tc := range []struct{ list, read List }{
		{list: List{Version: 1, ID: "x", Write: []string{a, b}, Read: []string{a, b}}},
		{list: List{Write: []string{a, b, c}, Read: []string{b}}},
		{list: List{Write: []string{a}, Read: []string{b, a, c}}, read: List{Write: []string{a}, Read: []string{a, b, c}}},
		{list: List{Write: []string{a}}},
		{list: List{Read: []string{a, b}}},
		{list: List{Version: 2, Key: "k", At: 3, D: "d"}},
	} {
		data, err := json.Marshal(map[string]List{ViaNIP65: tc.list})
		if err != nil {
			t.Fatal(err)
		}
		for _, url := range []string{a, b, c} {
			if strings.Count(string(data), url) > 1 {
				t.Errorf("%s twice: %s", url, data)
			}
		}
		var got map[string]List
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		want := tc.read
		if want.Write == nil {
			want = tc.list
		}
		if !reflect.DeepEqual(got[ViaNIP65], want) {
			t.Errorf("%s is read as %+v, want %+v", data, got[ViaNIP65], want)
		}
	}
}

// As earlier versions wrote it, and with bits beyond its relays.
func TestListsOfEarlierVersionsAreRead(t *testing.T) {
	for data, want := range map[string]List{
		`{"version":5,"id":"x","write":["wss://a","wss://b"],"read":["wss://b","wss://a"]}`: {
			Version: 5, ID: "x", Write: []string{"wss://a", "wss://b"}, Read: []string{"wss://b", "wss://a"},
		},
		`{"version":5,"write":["wss://a"],"both":18446744073709551615}`: {Version: 5, Write: []string{"wss://a"}, Read: []string{"wss://a"}},
		`{"version":5,"both":3}`: {Version: 5},
	} {
		var got List
		if err := json.Unmarshal([]byte(data), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v (%v), want %+v", data, got, err, want)
		}
	}
}
