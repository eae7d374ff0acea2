package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/relaymesh/relaymesh/internal/lines"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// strfryRequest is what strfry writes to a write-policy plugin, one a line.
type strfryRequest struct {
	Type  string          `json:"type"` // "new", or strfryTry
	Event json.RawMessage `json:"event"`
}

// Strfry speaks the protocol of strfry's write-policy plugins: it accepts every
// event that it reads from in, at once, and hands it to take, which must not
// block and may keep it. It returns nil when in ends. A line that is no
// request is told to bad and answered if it names an event, since strfry
// waits for an answer before it goes on.
func Strfry(in io.Reader, out io.Writer, take func(event []byte), bad func(error)) error {
	for input := lines.NewReader(in, maxRequest); ; {
		line, err := input.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("from strfry: %w", err)
		}
		if len(line.Text) == 0 {
			continue
		}
		complain := func(err error) { bad(fmt.Errorf("line %d: %w", line.Number, err)) }
		if err := answerStrfry(line.Text, out, take, complain); err != nil {
			return err
		}
	}
}

// strfryTry is the type of requests that people write, to see whether the plugin starts; their events are not taken in.
const strfryTry = "try"

// maxRequest bounds a request, in bytes. strfry passes no event on that is nearly as
// large.
const maxRequest = 64 << 20

func answerStrfry(line []byte, out io.Writer, take func([]byte), bad func(error)) error {
	var r strfryRequest
	if err := json.Unmarshal(line, &r); err != nil {
		bad(fmt.Errorf("not a request of strfry: %w", err))
		return nil
	}
	id, ok := nostr.PeekID(r.Event)
	if !ok {
		bad(fmt.Errorf("a request of type %q without an event that has an id", r.Type))
		return nil
	}
	answer := append(append([]byte(`{"id":"`), id...), "\",\"action\":\"accept\"}\n"...)
	if _, err := out.Write(answer); err != nil {
		return fmt.Errorf("answer strfry: %w", err)
	}
	switch {
	case r.Type == strfryTry:
	case r.Type != "new":
		bad(fmt.Errorf("a request of type %q, which is not known", r.Type))
	case len(r.Event) > nostr.MaxEventBytes:
		bad(fmt.Errorf("event %s: %d bytes, at most %d are taken in", id, len(r.Event), nostr.MaxEventBytes))
	default:
		take(r.Event)
	}
	return nil
}
