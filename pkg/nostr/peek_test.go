package nostr

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPeekID(t *testing.T) {
	for text, want := range map[string]string{
		`{"id":"ab","kind":1}`:         "ab",
		`{ "kind" : 1 , "id" : "ab" }`: "ab",
		`{"tags":[["id","x"],["e","\"id\":\"y\""]],"content":"\\","id":"ab"}`: "ab",
		`{"content":"{\"id\":\"x\"}","meta":{"id":"y"},"id":"ab"}`:            "ab",
		`{"sig":"id","id":"ab"}`: "ab",
		`{"id":7}`:               "",
		`{"id":null,"sig":"ab"}`: "",
		`{"id":["ab"]}`:          "",
		`["id","ab"]`:            "",
		`"id"`:                   "",
		`{"id":"ab`:              "",
		`{"id`:                   "",
		`}}{"id":"ab"}`:          "",
		``:                       "",
	} {
		if id, ok := PeekID([]byte(text)); id != want || ok != (want != "") {
			t.Errorf("%s: %q, %v, want %q", text, id, ok, want)
		}
	}
}

// Of JSON that an event can be read from, it must find what the decoder finds,
// and it must survive the rest.
func FuzzPeekID(f *testing.F) {
	f.Add(`{"id":"ab","kind":1}`)
	f.Add(`{"tags":[["id","\\\""]],"content":"\\","id":"ab"}`)
	f.Add(strings.Repeat("{[", 50) + `"\`)
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := PeekID([]byte(text))
		var fields map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &fields) != nil || strings.Count(text, "id") != 1 {
			return
		}
		var want string
		raw, has := fields["id"]
		if has && (json.Unmarshal(raw, &want) != nil || string(raw) == "null") || strings.Contains(string(raw), `\`) {
			return
		}
		if ok != has || id != want && !strings.ContainsRune(want, '�') {
			t.Errorf("%s: %q, %v, want %q, %v", text, id, ok, want, has)
		}
	})
}

func BenchmarkPeekID(b *testing.B) {
	e := Event{
		ID: strings.Repeat("a", 64), PubKey: strings.Repeat("b", 64), Sig: strings.Repeat("c", 128),
		Tags: []Tag{{"p", strings.Repeat("d", 64)}}, Content: strings.Repeat("a \"word\" ", 80),
	}
	text := Encode(e)
	last := []byte(`{"content"` + strings.TrimPrefix(string(Encode(map[string]any{"content": e.Content, "id": e.ID})), `{"content"`))
	for name, data := range map[string][]byte{"first": text, "last": last} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if _, ok := PeekID(data); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
	b.Run("ParseEvent", func(b *testing.B) {
		for range b.N {
			_, _ = ParseEvent(text)
		}
	})
}
