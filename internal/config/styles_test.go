package config_test

import (
	"reflect"
	"testing"

	"github.com/relaymesh/relaymesh/internal/config"
)

// Flow and block style mean the same, with a byte order mark and without.
func TestStylesOfYAMLMeanTheSame(t *testing.T) {
	t.Parallel()
	const block = `
streams:
  friends:
    dir: both
    urls:
      - ws://127.0.0.1:7777
      - wss://b.example.com/path?x=1:2
    filter:
      kinds: [0, 1]
    since: 2026-01-02
    until: 1800000000
  rest:
    writers: true
`
	want, err := config.Streams([]byte(block), true)
	if err != nil || len(want) != 2 || len(want[0].URLs) != 2 || want[0].Since != "2026-01-02" {
		t.Fatalf("%+v, %v", want, err)
	}
	for _, text := range []string{
		`streams: {friends: {dir: both, urls: [ws://127.0.0.1:7777, "wss://b.example.com/path?x=1:2"], filter: {kinds: [0, 1]}, ` +
			`since: 2026-01-02, until: 1800000000}, rest: {writers: true}}`,
		`{streams: {rest: {writers: true}, friends: {urls: [ws://127.0.0.1:7777,wss://b.example.com/path?x=1:2], dir: both, ` +
			`since: "2026-01-02", until: 1800000000, filter: '{"kinds":[0,1]}'}}}`,
		"streams: {\n  friends: {\n    dir: both,\n    urls: [\n      ws://127.0.0.1:7777,\n      wss://b.example.com/path?x=1:2\n    ],\n" +
			"    filter: {kinds: [0, 1]},\n    since: 2026-01-02,\n    until: 1800000000\n  },\n  rest: {writers: true}\n}\n",
		`{"streams":{"friends":{"dir":"both","urls":["ws://127.0.0.1:7777","wss://b.example.com/path?x=1:2"],"filter":{"kinds":[0,1]},` +
			`"since":"2026-01-02","until":1800000000},"rest":{"writers":true}}}`,
	} {
		for _, mark := range []string{"", "\ufeff"} {
			if got, err := config.Streams([]byte(mark+text), true); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s\n%+v, %v, want %+v", text, got, err, want)
			}
		}
	}
	for _, text := range []string{"", "# nothing\n", "\ufeff", "---\n", "streams:\n"} {
		if got, err := config.Streams([]byte(text), true); err != nil || got != nil {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"streams: {a: {urls: [}}", "streams: [a", "a: 1\na: 2", "\t- x"} {
		if got, err := config.Streams([]byte(text), true); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}
