package ingest

import (
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// FuzzLists makes events of kind 10002 with many URLs in a tag and many tags, as
// people and strangers write them. Each relay of the list is one that may be
// dialled, is spelled one way, and stands there once.
func FuzzLists(f *testing.F) {
	words := []string{
		"wss://a.example.com", "wss://b.example.com/", "WSS://A.example.com", "ws://c.example.com", "wss://127.0.0.1", " ", ",", "\n", "wss://",
		"https://d.example.com", "\u200b", "wss://e.example.com/x?y=wss://a.example.com", ";wss://", "[[\"r\"]]", "read",
	}
	f.Add([]byte{0, 5, 1, 255, 2, 6, 3}, "")
	f.Add([]byte{0, 255, 0, 255, 0}, "read")
	f.Add([]byte{11, 5, 12, 0, 7, 4}, "WRITE ")
	f.Fuzz(func(t *testing.T, choice []byte, mark string) {
		e := nostr.Event{Kind: 10002}
		value := ""
		for _, c := range choice {
			if c != 255 {
				value += words[int(c)%len(words)]
				continue
			}
			e.Tags = append(e.Tags, nostr.Tag{"r", value, mark}, nostr.Tag{"r"})
			value = ""
		}
		e.Tags = append(e.Tags, nostr.Tag{"r", value}, nostr.Tag{"r", strings.Repeat(value+" ", 3), mark})
		list, err := stage.ReadRelayTags(&e, false)
		if err != nil && len(list.Write)+len(list.Read) > 0 {
			t.Errorf("%v: %+v with %v", e.Tags, list, err)
		}
		for _, relays := range [][]string{list.Write, list.Read} {
			once := map[string]bool{}
			for _, url := range relays {
				again, err := nostr.NormalizeRelayURL(url, false)
				if err != nil || again != url || once[url] {
					t.Errorf("%v: %q becomes %q, %v", e.Tags, url, again, err)
				}
				once[url] = true
			}
			if len(relays) > nostr.MaxListRelays {
				t.Errorf("%d relays", len(relays))
			}
		}
	})
}
