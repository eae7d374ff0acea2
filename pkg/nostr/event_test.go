package nostr_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gonostr "github.com/nbd-wtf/go-nostr"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// realEvents returns the raw events that the go-nostr module ships as test
// data: 532 of them, of 26 kinds, with valid ids.
func realEvents(t testing.TB) [][]byte {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/nbd-wtf/go-nostr").Output()
	if err != nil {
		t.Fatalf("couldn't find go-nostr in the module cache: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "testdata", "messages.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var message []json.RawMessage
		if json.Unmarshal(lines.Bytes(), &message) == nil && len(message) == 3 && string(message[0]) == `"EVENT"` {
			out = append(out, message[2])
		}
	}
	if len(out) < 500 {
		t.Fatalf("found %d events, want at least 500", len(out))
	}
	return out
}

func TestRealEventsParseAndKeepTheirID(t *testing.T) {
	for _, raw := range realEvents(t) {
		if _, err := nostr.ParseEvent(raw); err != nil {
			t.Errorf("%.80s: %v", raw, err)
		}
	}
}

func TestHashAgreesWithGoNostr(t *testing.T) {
	for _, content := range []string{"", "plain", "\"\\\n\r\t\b\f", "\x00\x01\x1f\x7f", "<>&", "é\u2028\u2029😀", strings.Repeat("x", 3000)} {
		theirs := gonostr.Event{
			PubKey: strings.Repeat("ab", 32), CreatedAt: 1_700_000_000, Kind: 1, Content: content,
			Tags: gonostr.Tags{{"t", content}, {"e"}},
		}
		ours := nostr.Event{PubKey: theirs.PubKey, CreatedAt: 1_700_000_000, Kind: 1, Content: content, Tags: []nostr.Tag{{"t", content}, {"e"}}}
		if ours.Hash() != theirs.GetID() {
			t.Errorf("content %q: hash is %s, go-nostr has %s", content, ours.Hash(), theirs.GetID())
		}
	}
}

// Written by whatever way, an event has the bytes that its author hashed, and
// none is escaped that JSON lets stand.
func TestEventsAreWrittenByteForByte(t *testing.T) {
	const content = "<>&\u2028\u2029é😀\x7f/ \"\\\n\r\t\b\f\x00\x1f"
	const quoted = `"<>&` + "\u2028\u2029é😀\x7f" + `/ \"\\\n\r\t\b\f\u0000\u001f"`
	e := nostr.Event{ID: "i", PubKey: "p", CreatedAt: 5, Kind: 1, Tags: []nostr.Tag{{"t", content}, nil}, Content: content, Sig: "s"}
	const want = `{"id":"i","pubkey":"p","created_at":5,"kind":1,"tags":[["t",` + quoted + `],[]],"content":` + quoted + `,"sig":"s"}`
	for way, got := range map[string][]byte{
		"value": nostr.Encode(e), "pointer": nostr.Encode(&e),
		"list":    bytes.Trim(nostr.Encode([]nostr.Event{e}), "[]"),
		"payload": bytes.TrimSuffix(bytes.TrimPrefix(nostr.Encode(struct{ E *nostr.Event }{&e}), []byte(`{"E":`)), []byte("}")),
		"message": bytes.TrimSuffix(bytes.TrimPrefix(nostr.Message("EVENT", "<", e), []byte(`["EVENT","<",`)), []byte("]")),
	} {
		if string(got) != want {
			t.Errorf("%s: %s\nwant %s", way, got, want)
		}
	}
	back, err := nostr.Decode[nostr.Event](nostr.Encode(e))
	if back.Content != content || back.Tags[0][1] != content || err != nil {
		t.Errorf("read back: %+v, %v", back, err)
	}
	if got := string(nostr.Encode(nostr.Event{Content: "a\xff\xc3b"})); !strings.Contains(got, "\"tags\":[],\"content\":\"a\ufffdb\"") {
		t.Errorf("no UTF-8 and no tags: %s", got)
	}
}

// Further keys play no part, and a field of a wrong type hides no other.
func TestEventsAreReadAsRelaysHaveThem(t *testing.T) {
	raw := realEvents(t)[0]
	more := append([]byte(`{"ots":"AE9w","seen_on":["wss://a.example",{"b":null}],`), raw[1:]...)
	if e, err := nostr.ParseEvent(more); err != nil || !bytes.Equal(nostr.Encode(e), nostr.Encode(must(nostr.ParseEvent(raw)))) {
		t.Errorf("with further keys: %v", err)
	}
	other := bytes.Replace(raw, []byte("{"), []byte(`{"Content":"other","ID":7,"KIND":"note","Tags":[["t","x"]],"SIG":null,"\u017fig":"",`), 1)
	other = append(bytes.TrimSuffix(bytes.TrimSpace(other), []byte("}")), `,"Pubkey":"x","Created_At":"today"}`...)
	if e, err := nostr.ParseEvent(other); err != nil || !bytes.Equal(nostr.Encode(e), nostr.Encode(must(nostr.ParseEvent(raw)))) {
		t.Errorf("with keys in other letters: %v", err)
	}
	var e nostr.Event
	err := e.UnmarshalJSON([]byte(`{"tags":[["p",1]],"kind":"1","id":"ab"}`))
	if err == nil || err.Error() != "tags: number is not allowed there" || e.ID != "ab" {
		t.Errorf("with a number in a tag: %+v, %v", e, err)
	}
	if tag := (&nostr.Event{Tags: []nostr.Tag{{}, {"p", "x"}}}).Tag("p"); tag.At(1) != "x" {
		t.Errorf("after an empty tag: %v", tag)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestParseEventNamesTheFieldAtFault(t *testing.T) {
	good := realEvents(t)[0]
	change := func(field string, value any) []byte {
		var m map[string]any
		if err := json.Unmarshal(good, &m); err != nil {
			t.Fatal(err)
		}
		m[field] = value
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, tc := range map[string]struct {
		raw  []byte
		want string
	}{
		"not JSON":               {[]byte("{"), "event: not a JSON event"},
		"an array":               {[]byte("[]"), "event: not a JSON event: want an object, not an array"},
		"a message":              {[]byte(`["EVENT","s",{}]`), "event: not a JSON event: want an object, not an array"},
		"a number":               {[]byte(`7`), "event: not a JSON event: want an object, not a number"},
		"short id":               {change("id", "ab"), "id:"},
		"upper-case id":          {change("id", strings.Repeat("AB", 32)), "id:"},
		"wrong id":               {change("id", strings.Repeat("ab", 32)), "id:"},
		"changed content":        {change("content", "forged"), "id:"},
		"short pubkey":           {change("pubkey", "ab"), "pubkey:"},
		"short sig":              {change("sig", "ab"), "sig:"},
		"negative created_at":    {change("created_at", -1), "created_at:"},
		"kind over 16 bits":      {change("kind", 65536), "kind:"},
		"negative kind":          {change("kind", -1), "kind:"},
		"tag of zero length":     {change("tags", [][]string{{"p", "x"}, {}}), "tags[1]:"},
		"content of several MiB": {change("content", strings.Repeat("x", 3<<20)), "event:"},
		"no tags":                {change("tags", nil), "tags: missing"},
		"ten thousand tags":      {change("tags", make([][]string, nostr.MaxTags+1)), "tags:"},
	} {
		if _, err := nostr.ParseEvent(tc.raw); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: error is %v, want %q", name, err, tc.want)
		}
	}
}

func TestCheckTimeRefusesTheFarFuture(t *testing.T) {
	e := nostr.Event{CreatedAt: 1000 + nostr.MaxFuture}
	if err := e.CheckTime(1000); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	e.CreatedAt++
	if err := e.CheckTime(1000); err == nil || !strings.HasPrefix(err.Error(), "created_at:") {
		t.Errorf("beyond the limit: %v", err)
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`{"id":"","pubkey":"","created_at":1,"kind":1,"tags":[[]],"content":"","sig":""}`))
	f.Add([]byte(`{"tags":null,"kind":1e400}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := nostr.ParseEvent(raw)
		if err == nil && e.Hash() != e.ID {
			t.Errorf("accepted an event whose id is not its hash: %s", raw)
		}
	})
}
