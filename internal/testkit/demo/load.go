package demo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxLine bounds one line of an events file.
const maxLine = 4 << 20

// ReadEvents reads lines that are events or ["EVENT", ..., event] messages;
// other messages are passed over. Captures are often cut in the middle of a
// line, so lines that cannot be read or do not verify are counted, not fatal.
func ReadEvents(r io.Reader) (list []nostr.Event, unreadable int, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		raw := bytes.TrimSpace(lines.Bytes())
		if bytes.HasPrefix(raw, []byte("[")) {
			var message []json.RawMessage
			if err := json.Unmarshal(raw, &message); err != nil {
				unreadable++
				continue
			}
			if len(message) < 2 || string(message[0]) != `"EVENT"` {
				continue
			}
			raw = message[len(message)-1]
		}
		if len(raw) == 0 {
			continue
		}
		e, err := nostr.ParseEvent(raw)
		if err == nil {
			err = schnorr.Verify(&e)
		}
		if err != nil {
			unreadable++
			continue
		}
		list = append(list, e)
	}
	return list, unreadable, lines.Err()
}

// MakeEvents signs events of the kinds and sizes of a real relay's afternoon:
// mostly notes and reactions, some profiles, follow lists, relay lists,
// deletions and jobs.
func MakeEvents(count int, now int64) ([]nostr.Event, error) {
	kinds := []int{1, 1, 1, 1, 1, 7, 7, 7, 7, 5, 3, 0, 6300, 9041, 9735, 30023}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same world every time
	keys := make([]*schnorr.SecretKey, max(count/4, 1))
	for i := range keys {
		key, err := schnorr.NewSecret()
		if err != nil {
			return nil, err
		}
		keys[i] = key
	}
	out := make([]nostr.Event, count)
	for i := range out {
		key := keys[random.IntN(len(keys))]
		e := nostr.Event{
			CreatedAt: now - int64(random.IntN(6*3600)), Kind: kinds[random.IntN(len(kinds))],
			Content: strings.Repeat("lorem ipsum ", random.IntN(120)), Tags: []nostr.Tag{},
		}
		switch {
		case i == 0:
			e.Kind = 1
		case e.Kind == 5: // one in ten deletes its author's own note
			for _, old := range out[:i] {
				if old.PubKey == key.PublicKey() && old.Kind == 1 {
					e.Tags = append(e.Tags, nostr.Tag{"e", old.ID})
					e.CreatedAt = max(e.CreatedAt, old.CreatedAt)
					break
				}
			}
		case e.Kind == 7:
			e.Tags, e.Content = append(e.Tags, nostr.Tag{"e", out[random.IntN(i)].ID}), "+"
		case e.Kind == 30023:
			e.Tags = append(e.Tags, nostr.Tag{"d", strconv.Itoa(i)})
		}
		if err := key.SignEvent(&e); err != nil {
			return nil, err
		}
		out[i] = e
	}
	return out, nil
}
