package nostr

import (
	"encoding/json"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// What relays send is decoded without encoding/json.
func TestDecodeFastTakesWhatIsUsual(t *testing.T) {
	for _, text := range []string{
		`{"id":"a","pubkey":"b","created_at":1700000000,"kind":1,"tags":[["e","c","",""],["p"]],"content":"x","sig":"d"}`,
		`{"kind":1,"id":"a","tags":[],"content":"\"quoted\"\n\\ / \/ \t\r\b\f 🐎"}`,
		" {\n \"kind\" : 0 ,\t\"tags\" : [ [ \"t\" , \"\" ] , [] ] } \r\n",
		`{"created_at":-5,"tags":[["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17","18"]]}`,
		`{"id":"a","id":"b"}`, `{"tags":[[],["a"],[],["b","c","d"],["e"]]}`,
	} {
		var got, want Event
		if !decodeFast([]byte(text), &got) {
			t.Errorf("%s is left to encoding/json", text)
		}
		if err := slowly(text, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v, %v", text, got, want, err)
		}
	}
}

// A string with an escape must not cost memory for what comes after it.
func TestDecodeFastAllocatesWhatTheTextIsWorth(t *testing.T) {
	for name, tag := range map[string]string{"one": `"\n",`, "each": `"\n"],[`} {
		text := []byte(`{"tags":[[` + strings.Repeat(tag, (MaxEventBytes-100)/len(tag)) + `""]],"content":"\n\"` + `"}`)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var e Event
		ok := decodeFast(text, &e)
		runtime.ReadMemStats(&after)
		allocated := (after.TotalAlloc - before.TotalAlloc) / uint64(len(text))
		if !ok || allocated > 50 {
			t.Errorf("%s: decoded %t, %d bytes allocated for each of the text, want at most 50", name, ok, allocated)
		}
	}
}

// slowly decodes without the fast way.
func slowly(text string, e *Event) error { return e.decodeSlowly([]byte(text)) }

// What is valid, and in no other letters, is read as encoding/json reads it.
func TestDecodeSlowlyIsEncodingJSON(t *testing.T) {
	type event Event // without its method
	for _, text := range []string{
		`{"id":"\u0061\ud83d","tags":[["e",null],[],null],"content":null,"more":{"id":"x"}}`, `{"\u0069d":"a"}`, `{}`, `null`, ` {"kind":7} `,
		`{"id":7,"kind":1}`, `{"tags":[["a"],7]}`, `{"kind":1.0,"sig":"x"}`, `[]`, `"x"`, `{"id":"a"} x`, `{`, ``, `{"id":"a","id":7,"kind":"b"}`,
	} {
		var got Event
		var want event
		err, wantErr := slowly(text, &got), json.Unmarshal([]byte(text), &want)
		if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(got, Event(want)) {
			t.Errorf("%s: %+v, %v; encoding/json: %+v, %v", text, got, err, want, wantErr)
		}
	}
}

func FuzzDecodeFast(f *testing.F) {
	for _, text := range []string{
		`{"id":"a","pubkey":"b","created_at":17,"kind":1,"tags":[["e","c","",""],["p"],[]],"content":"x\\\"\u00e4\ud83d","sig":"d"}`,
		`{}`, `{"kind":01}`, `{"kind":1.0}`, `{"kind":-}`, `{"kind":1e3}`, `{"kind":70000000000000000}`, `{"kind":999999999999999}`,
		`{"id":null}`, `{"tags":null}`,
		`{"tags":[["a"],]}`, `{"tags":[["a",]]}`, `{"tags":[null]}`, `{"tags":[["a"]],"tags":[]}`, `{"ID":"a"}`, `{"\u0069d":"a"}`, `{"more":1}`,
		`{"id":"a",}`, `{"id":"a"}}`, `{"id":"a"} x`, `{"id":"\`, `{"id":"`, `{"id"`, `{`, ``, `{"id":"a\x"}`, "{\"id\":\"a\tb\"}",
		"{\"id\":\"\xff\"}", "{\"id\":\"\\n\xc3\"}", "{\"id\":\"\x00\"}\x00",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got, want Event
		if !decodeFast([]byte(text), &got) {
			return
		}
		if err := slowly(text, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, encoding/json: %+v, %v", text, got, want, err)
		}
	})
}

func BenchmarkParseEvent(b *testing.B) {
	e := Event{
		PubKey: strings.Repeat("b", 64), Sig: strings.Repeat("c", 128), Kind: 1, CreatedAt: 1_700_000_000,
		Content: strings.Repeat("a word\n", 60),
	}
	for range 8 {
		e.Tags = append(e.Tags, Tag{"p", strings.Repeat("d", 64), "wss://relay.example.com"})
	}
	e.ID = e.Hash()
	text := Encode(e)
	b.SetBytes(int64(len(text)))
	for range b.N {
		if _, err := ParseEvent(text); err != nil {
			b.Fatal(err)
		}
	}
}
