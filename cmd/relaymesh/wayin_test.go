package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
)

// Of a relay that asks who we are it is said how to tell it, unless we have.
func TestWhoIsAskedForAKeyIsToldHowToGiveIt(t *testing.T) {
	t.Parallel()
	url, _ := askingRelay(t)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(strings.Repeat("0", 63)+"1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"sync", url, "-"},
		{"sync", hometest.Start(t), url, hometest.Start(t)},
		{"fetch", strings.Repeat("0a", 32), "--allow-private", "--relay", url},
	} {
		for _, key := range [][]string{nil, {"--nsec-file", file}} {
			code, _, stderr := here(append(args, key...)...)
			if code != run.ExitFailed && code != run.ExitPartly || strings.Count(stderr, giveKey) != 1-len(key)/2 {
				t.Errorf("%q: exit code %d, %s", append(args, key...), code, stderr)
			}
		}
	}
}
