package config_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/config"
)

// FuzzFile reads config files: flags, and the streams, which are read again
// while a worker runs.
func FuzzFile(f *testing.F) {
	for _, text := range []string{
		"relay: ws://127.0.0.1:7777\nsync-every: 15m\ntail: [wss://a.example.com, wss://b.example.com]\n", "nats: [[1]]\n", "relay: {a: b}\n",
		"a: &a [*a, *a]\n", "sync-every: 1e999\n", "- x\n", "? ", "", "\x00", "relay: !!binary AAAA\n",
		"streams:\n  friends:\n    dir: both\n    urls: [wss://a.example.com]\n    filter: {\"kinds\": [0, 1]}\n    since: 720h\n" +
			"  others:\n    writers: true\n",
		"streams: {x: {dir: sideways}}\n", "streams: {x: {urls: wss://a.example.com}}\n", "streams: {x: {filter: {limit: 1}}}\n",
		"streams: {x: {since: 2026-01-01, until: -1}}\n", "streams: []\n", "streams: {1: 2}\n",
		"a: &a {b: c}\nstreams: {x: {<<: *a}}\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4<<10 {
			return // an operator's file
		}
		once, err := config.Streams(data, false)
		twice, again := config.Streams(data, false)
		if (err == nil) != (again == nil) || !reflect.DeepEqual(once, twice) {
			t.Errorf("%q: %+v, %v, then %+v, %v", data, once, err, twice, again)
		}
		for _, s := range once {
			if s.Name == "" && len(s.URLs) > 0 {
				t.Errorf("%q: %+v", data, s)
			}
		}
		var cli struct{ config.Config }
		resolver, err := config.Load(bytes.NewReader(data))
		if err != nil {
			return
		}
		parser, err := kong.New(&cli, kong.Resolvers(resolver), kong.Exit(func(int) {}))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = parser.Parse(nil) // an error, and no panic
	})
}
