package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/lines"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// FuzzStrfry reads what strfry writes to a plugin. Each line that names an event
// is answered by one line for that event, and nothing else is written.
func FuzzStrfry(f *testing.F) {
	id := strings.Repeat("ab", 32)
	for _, text := range []string{
		`{"type":"new","event":{"id":"` + id + `","kind":1},"receivedAt":1,"sourceType":"IP4","sourceInfo":"127.0.0.1"}`,
		`{"type":"lookback","event":{"id":"` + id + `"}}`, `{"type":"new","event":{"id":"x\"y"}}`, `{"type":"new","event":[]}`, `{"type":"new"}`,
		`{"type":"new","event":{"tags":[["id","x"]],"id":"` + id + `"}}` + "\n\n" + `{"event":{"id":"` + id + `"}}`, "null", "[", "", "\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var out bytes.Buffer
		taken, bad := 0, 0
		take := func(event []byte) {
			if taken++; !json.Valid(event) || len(event) > nostr.MaxEventBytes {
				t.Errorf("took %q", event)
			}
		}
		switch err := Strfry(bytes.NewReader(data), &out, take, func(error) { bad++ }); {
		case errors.Is(err, lines.ErrUTF16), errors.Is(err, lines.ErrCompressed): // it is no strfry that writes so
			return
		case err != nil:
			t.Fatal(err)
		}
		requests := 0
		for line := range bytes.Lines(data) {
			if len(bytes.TrimSpace(line)) > 0 {
				requests++
			}
		}
		answers := bytes.Split(bytes.TrimSuffix(out.Bytes(), []byte("\n")), []byte("\n"))
		if out.Len() == 0 {
			answers = nil
		}
		for _, line := range answers {
			var answer struct{ ID, Action string }
			if err := json.Unmarshal(line, &answer); err != nil || answer.Action != "accept" {
				t.Errorf("answered %q", line)
			}
		}
		if taken > len(answers) || taken+bad != requests {
			t.Errorf("%d lines: %d taken, %d bad, %d answers", requests, taken, bad, len(answers))
		}
	})
}
