package stage

import (
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Of NIP-19: two relays.
const profileCode = "nprofile1qqsrhuxx8l9ex335q7he0f09aej04zpazpl0ne2cgukyawd24mayt8gpp4mhxue69uhhytnc9e3k7mgpz4mhxue69uhkg6nzv9ejuumpv3" +
	"4kytnrdaksjlyr9p"

var named = []string{"wss://r.x.com", "wss://djbas.sadkb.com"}

func TestHintsAreReadWhereEventsHaveThem(t *testing.T) {
	for name, c := range map[string]struct {
		e    nostr.Event
		want []string
	}{
		"tags": {nostr.Event{Kind: 1, Tags: []nostr.Tag{
			{"e", "x", "wss://e.example"},
			{"p", "x", "wss://p.example"},
			{"a", "x", "wss://a.example"},
			{"q", "x", "wss://q.example"},
			{"r", "x", "wss://r.example"},
			{"e", "x", "wss://e.example/"},
			{"e"},
			{"p", "x", "http://p.example"},
			{"p", "x", "wss://10.0.0.1"},
			{},
		}}, []string{"wss://e.example", "wss://p.example", "wss://a.example", "wss://q.example"}},
		"a code":               {nostr.Event{Kind: 1, Content: "look: nostr:" + profileCode + ", there"}, named},
		"in capitals":          {nostr.Event{Kind: 1, Content: "nostr:" + strings.ToUpper(profileCode)}, named},
		"a damaged code":       {nostr.Event{Kind: 1, Content: "nostr:" + strings.Replace(profileCode, "qqsr", "qqss", 1)}, nil},
		"a code without nostr": {nostr.Event{Kind: 1, Content: profileCode}, nil},
		"kind 3": {
			nostr.Event{Kind: 3, Content: `{"wss://b.example":{"read":true,"write":true},"wss://a.example":{}, "x":1}`},
			[]string{"wss://a.example", "wss://b.example"},
		},
		"kind 3 of today": {nostr.Event{Kind: 3}, nil},
		"kind 3, broken":  {nostr.Event{Kind: 3, Content: `{"wss://b.example"`}, nil},
	} {
		if got := Hints(&c.e, false); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	many := nostr.Event{Kind: 1}
	for i := range 500 {
		many.Tags = append(many.Tags, nostr.Tag{"p", "x", "wss://" + strings.Repeat("x", i%60+1) + ".example"})
	}
	if n := len(Hints(&many, false)); n != maxHints {
		t.Errorf("one event names %d relays", n)
	}
}

func FuzzHints(f *testing.F) {
	f.Add(1, "nostr:"+profileCode)
	f.Add(3, `{"wss://a.example":{}}`)
	f.Fuzz(func(t *testing.T, kind int, content string) {
		for _, url := range Hints(&nostr.Event{Kind: kind, Content: content}, false) {
			if again, err := nostr.NormalizeRelayURL(url, false); err != nil || again != url {
				t.Errorf("%q is not normal: %q, %v", url, again, err)
			}
		}
	})
}
