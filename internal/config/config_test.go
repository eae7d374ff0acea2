package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/config"
)

func parse(t *testing.T, yaml string, args ...string) (config.Config, error) {
	t.Helper()
	var cli struct {
		File    kong.ConfigFlag `name:"config" env:"TEST_CONFIG"`
		Version bool
		config.Config
	}
	parser, err := kong.New(&cli, kong.Configuration(config.Load))
	if err != nil {
		t.Fatal(err)
	}
	if yaml != "" {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	_, err = parser.Parse(args)
	return cli.Config, err
}

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	const yaml = "sync-every: 1h\nrefresh-every: 6h\nresolve-every: 2h\ntail: [wss://a.example, wss://b.example]\n"
	t.Setenv("RELAYMESH_REFRESH_EVERY", "30m")
	t.Setenv("RELAYMESH_RESOLVE_EVERY", "3h")
	c, err := parse(t, yaml, "--resolve-every", "4h")
	if err != nil {
		t.Fatal(err)
	}
	if c.ResolveEvery != 4*time.Hour || c.RefreshEvery != 30*time.Minute || c.SyncEvery != time.Hour || c.Drain != 20*time.Second {
		t.Errorf("flag %s, environment %s, file %s, default %s", c.ResolveEvery, c.RefreshEvery, c.SyncEvery, c.Drain)
	}
	if len(c.Tail) != 2 || c.Tail[1] != "wss://b.example" {
		t.Errorf("list from the file is %q", c.Tail)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for want, try := range map[string]struct {
		yaml string
		args []string
	}{
		`unknown key "sync-evry"; did you mean "sync-every"?`: {yaml: "sync-evry: 1h"},
		`unknown key "config"; did you mean "`:                {yaml: "config: other.yaml"},
		`unknown key "version"; did you mean "`:               {yaml: "version: true"},
		"--relay: relay url":                                  {args: []string{"--relay", "http://x.example"}},
		"--tail: relay url":                                   {args: []string{"--tail", "ws://127.0.0.1"}},
		"reserved network (--allow-private permits it)":       {args: []string{"--tail", "ws://127.0.0.1"}},
		"--sync-every: interval 7s":                           {args: []string{"--sync-every", "7s"}},
		"--refresh-every: interval 5h0m0s":                    {args: []string{"--refresh-every", "5h"}},
		"--p2p-listen: ":                                      {args: []string{"--p2p-listen", ":9001"}},
		`--authors: "xyz" has 3 characters`:                   {args: []string{"--authors", "xyz"}},
		"--follows: this is a secret key":                     {args: []string{"--follows", "nsec1vl029mgpspedva0"}},
		`--authors: "note1x" is the id of an event`:           {yaml: "authors: [note1x]"},
		"--kinds: 70000 is not in 0..65535":                   {args: []string{"--kinds", "1,70000"}},
		"--missing-kinds: -1 is not in 0..65535":              {yaml: "missing-kinds: [-1]"},
		"--since: 1700000000000 is after the year 9999":       {args: []string{"--since", "1700000000000"}},
		"--since: 2026-01-02 is after until":                  {args: []string{"--since", "2026-01-02", "--until", "2026-01-01"}},
		"--log-level":                                         {args: []string{"--log-level", "loud"}},
	} {
		if _, err := parse(t, try.yaml, try.args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
}

func TestKeysAreReadAsPeopleWriteThem(t *testing.T) {
	const npub = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6"
	const key = "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d"
	c, err := parse(t, "follows: [nostr:"+npub+"]", "--authors", strings.ToUpper(key)+","+npub)
	if err != nil || len(c.Authors) != 2 || c.Authors[0] != key || c.Authors[1] != key || c.Follows[0] != key {
		t.Errorf("%v, %v, %v", c.Authors, c.Follows, err)
	}
}

func TestAFileOfWindowsIsRead(t *testing.T) {
	const text = "\ufeffsync-every: 1h\r\nstreams:\r\n  a: {urls: [wss://a.example.com]}\r\n"
	if c, err := parse(t, text); err != nil || c.SyncEvery != time.Hour {
		t.Errorf("%s, %v", c.SyncEvery, err)
	}
	if list, err := config.Streams([]byte("\ufeffstreams: {a: {}}\r\n"), false); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestRelayMayBePrivate(t *testing.T) {
	c, err := parse(t, "", "--relay", "ws://127.0.0.1:7777/")
	if err != nil || c.Relay != "ws://127.0.0.1:7777" {
		t.Errorf("relay is %q, %v", c.Relay, err)
	}
}
