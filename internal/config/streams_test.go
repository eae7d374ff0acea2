package config_test

import (
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/config"
)

func TestStreamsAreRead(t *testing.T) {
	list, err := config.Streams([]byte(`
sync-every: 1h
streams:
  friends:
    dir: both
    urls: [wss://A.example.com/, "wss://b.example.com"]
    filter: {"kinds": [0, 1], "#t": ["nostr"]}
    since: 720h
    until: 2026-01-01
  text:
    dir: up
    urls: [wss://a.example.com]
    filter: '{"authors":["7E7E9C42A91BFEF19FA929E5FDA1B72E0EBC1A4C1141673E2794234D86ADDF4E"]}'
    writers: true
  writers:
    filter: {kinds: [1]}
  equal:
    mirror: [wss://A.example.com/, "wss://b.example.com", wss://c.example.com]
    filter: {"kinds": [0]}
    since: 720h
`), false)
	if err != nil || len(list) != 4 {
		t.Fatalf("%v, %v", list, err)
	}
	e, f, x, w := list[0], list[1], list[2], list[3]
	if !e.Mirror || len(e.URLs) != 3 || e.URLs[0] != "wss://a.example.com" || e.Writers || e.Filter.Kinds[0] != 0 || e.Since != "720h" {
		t.Errorf("equal: %+v", e)
	}
	if f.Name != "friends" || !f.Up || !f.Down || len(f.URLs) != 2 || f.URLs[0] != "wss://a.example.com" || f.Writers ||
		len(f.Filter.Kinds) != 2 || f.Filter.Tags["t"][0] != "nostr" || f.Since != "720h" || f.Until == "" {
		t.Errorf("friends: %+v", f)
	}
	if !x.Up || x.Down || !x.Writers || x.Filter.Authors[0] != "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e" {
		t.Errorf("text: %+v", x)
	}
	if w.Up || !w.Down || !w.Writers || w.URLs != nil {
		t.Errorf("writers: %+v", w)
	}
	for _, none := range []string{"", "sync-every: 1h", "streams:"} {
		if list, err := config.Streams([]byte(none), false); err != nil || len(list) != 0 {
			t.Errorf("%q: %v, %v", none, list, err)
		}
	}
}

func TestMistakesInStreamsAreNamed(t *testing.T) {
	for yaml, want := range map[string]string{
		"streams: 5":      "streams: want a section for each stream",
		"streams: {a: 5}": "streams: a: want a section with some of the keys dir, filter",
		"streams: {a: {mirror: [wss://a.example]}}":                "streams: a: mirror: want two relays or more",
		"streams: {a: {mirror: wss://a.example}}":                  "streams: a: mirror: want a list of relays",
		"streams: {a: {mirror: [wss://a.c, wss://b.c], dir: up}}":  "streams: a: dir: has no meaning beside mirror",
		"streams: {a: {mirror: [wss://a.c, wss://b.c], urls: []}}": "streams: a: urls: has no meaning beside mirror",
		"streams: {a: {mirror: [wss://a.c, ws://10.0.0.1]}}":       "network (--allow-private permits it)",
		"streams: {a: {mirror: [wss://a.c, wss://A.c/]}}":          "streams: a: mirror: want two relays or more",
		"streams: {a: {fliter: {}}}":                               `streams: a: unknown key "fliter"; did you mean "filter"?`,
		"streams: {a: {filter: {kind: [1]}}}":                      `streams: a: filter: filter: unknown key "kind"`,
		"streams: {a: {filter: {limit: 5}}}":                       "streams: a: filter: a limit has no meaning",
		"streams: {a: {filter: [1]}}":                              "streams: a: filter: filter: [1] is not a JSON object",
		"streams: {a: {filter: {kinds: [1, x]}}}":                  "streams: a: filter: filter: kinds: want a list of whole numbers",
		"streams: {a: {filter: {authors: [npub1x]}}}":              "streams: a: filter: filter: authors: the checksum of the npub is wrong",
		"streams: {a: {filter: {ids: [7]}}}":                       "streams: a: filter: filter: ids: want a list of strings",
		"streams: {a: {filter: {since: 5}, since: 6}}":             "streams: a: since: stands in the filter, too",
		"streams: {a: {filter: {since: 6}, until: 5}}":             "streams: a: since: 6 is after until",
		"streams: {a: {since: 1h, until: 2h}}":                     "streams: a: since: 1h is after until",
		"streams: {a: {until: 1700000000000}}":                     "streams: a: until: 1700000000000 is after the year 9999",
		"streams: {a: {dir: sideways}}":                            "streams: a: dir: sideways is none of down, up and both",
		"streams: {a: {urls: wss://a.example.com}}":                "streams: a: urls: want a list",
		"streams: {a: {urls: [https://a.example.com]}}":            "streams: a: urls: relay url",
		"streams: {a: {urls: [wss://127.0.0.1]}}":                  "private",
		"streams: {a: {since: yesterday}}":                         `streams: a: since: "yesterday" is neither`,
		"streams: {a: {writers: maybe}}":                           "streams: a: writers: maybe is neither true nor false",
		"streams: {a: {":                                           "config file:",
		"streams: {a: {urls: [wss://a.example.com], a: 1}}":        `unknown key "a"`,
	} {
		if _, err := config.Streams([]byte(yaml), false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", yaml, err, want)
		}
	}
	// When a worker starts, they are a mistake in the configuration.
	if _, err := parse(t, "streams: {a: {fliter: {}}}"); err == nil || !strings.Contains(err.Error(), `did you mean "filter"?`) {
		t.Errorf("at the start: %v", err)
	}
	if _, err := parse(t, "streems: {}"); err == nil || !strings.Contains(err.Error(), `did you mean "streams"?`) {
		t.Errorf("at the start: %v", err)
	}
	if _, err := parse(t, "streams: {a: {urls: [wss://a.example.com]}}", "--since", "720h", "--kinds", "1,3", "--live", "0"); err != nil {
		t.Error(err)
	}
	for flag, value := range map[string]string{"--live": "501", "--since": "yesterday"} {
		if _, err := parse(t, "", flag, value); err == nil || !strings.Contains(err.Error(), flag+":") {
			t.Errorf("%s %s: %v", flag, value, err)
		}
	}
}
