package nostr

import "testing"

// However a repost writes what it repeats, it is what clients in JavaScript find there.
func TestRepeatedIsReadAsClientsDo(t *testing.T) {
	for text, want := range map[string]Event{
		`{"id":"x","pubkey":"alice","kind":1,"created_at":5,"tags":[["-"]],"content":"c","sig":"s"}`: {
			ID: "x", PubKey: "alice", Kind: 1, CreatedAt: 5, Tags: []Tag{{"-"}}, Content: "c", Sig: "s",
		},
		`{"pubkey":"alice","PubKey":"bob","kind":1.0,"created_at":1e3}`: {PubKey: "alice", Kind: 1, CreatedAt: 1000},
		`{ "pubkey":"bob","pubkey":"alice","kind":"1","more":{} }`:      {PubKey: "alice"},
		`{"tags":[[1],["-"],[]],"content":7,"kind":3}`:                  {Kind: 3, Tags: []Tag{{""}, {"-"}, {}}},
	} {
		for _, e := range []Event{
			{Kind: KindRepost, Content: text},
			{Kind: KindGenericRepost, Content: text},
			{Kind: KindZapReceipt, Tags: []Tag{{"p", "x"}, {"description", text}}},
		} {
			if got, ok := e.Repeated(); !ok || string(Encode(got)) != string(Encode(want)) {
				t.Errorf("kind %d, %s: %+v, %t", e.Kind, text, got, ok)
			}
		}
		if _, ok := (&Event{Kind: 1, Content: text}).Repeated(); ok {
			t.Errorf("a note repeats %s", text)
		}
	}
	for _, text := range []string{"", "null", "[]", `"x"`, "{", "a note"} {
		if got, ok := (&Event{Kind: KindRepost, Content: text}).Repeated(); ok {
			t.Errorf("%s: %+v", text, got)
		}
	}
}
