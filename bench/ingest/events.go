package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// recorded returns the events of go-nostr's test data.
func recorded() ([]nostr.Event, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/nbd-wtf/go-nostr").Output()
	if err != nil {
		return nil, fmt.Errorf("find go-nostr: %w", err)
	}
	f, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "testdata", "messages.jsonl"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []nostr.Event
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var msg []json.RawMessage
		if json.Unmarshal(lines.Bytes(), &msg) != nil || len(msg) < 3 || string(msg[0]) != `"EVENT"` {
			continue
		}
		e, err := nostr.ParseEvent(msg[2])
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, lines.Err()
}

// signer signs events by keys that stand for their authors.
type signer map[string]*schnorr.SecretKey

func (s signer) sign(e *nostr.Event, author string) error {
	key := s[author]
	if key == nil {
		var err error
		if key, err = schnorr.NewSecret(); err != nil {
			return err
		}
		s[author] = key
	}
	return schnorr.Sign(e, key)
}

// replay returns n new events, each like one of the recorded but for its author
// and, so that its id is new in every repetition, its time.
func replay(like []nostr.Event, n int, keys signer) ([]nostr.Event, error) {
	out := make([]nostr.Event, n)
	for i := range out {
		e := like[i%len(like)]
		author := e.PubKey
		e.CreatedAt += int64(i / len(like))
		if err := keys.sign(&e, author); err != nil {
			return nil, err
		}
		out[i] = e
	}
	return out, nil
}
