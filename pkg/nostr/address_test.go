package nostr_test

import (
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestAnAddressIsSpelledOneWay(t *testing.T) {
	alice := strings.Repeat("a1", 32)
	for text, want := range map[string]string{
		"0:" + alice + ":":        "0:" + alice + ":",
		"10002:" + alice + ":x":   "10002:" + alice + ":",
		"19999:" + alice + ":a:b": "19999:" + alice + ":",
		"30023:" + alice + ":a:b": "30023:" + alice + ":a:b",
		"+3:" + alice + ":":       "3:" + alice + ":",
		"0:" + alice:              "0:" + alice + ":",
		"10002:" + alice:          "10002:" + alice + ":",
	} {
		if a, err := nostr.ParseAddress(text); err != nil || a.String() != want {
			t.Errorf("%s is %s, %v, want %s", text, a, err, want)
		}
	}
}

func TestAnAddressIsWhole(t *testing.T) {
	alice := strings.Repeat("a1", 32)
	for _, text := range []string{
		"", ":", "::", "0", "0:", "30023:" + alice, "30023", "1:" + alice, "20000:" + alice, "0:a:", alice, "0::" + alice,
	} {
		if a, err := nostr.ParseAddress(text); err == nil {
			t.Errorf("%q is %s", text, a)
		}
	}
}

func TestAddressOf(t *testing.T) {
	for kind, want := range map[int]string{0: "0:a:", 3: "3:a:", 10002: "10002:a:", 30023: "30023:a:x", 1: "", 5: "", 20000: ""} {
		e := nostr.Event{Kind: kind, PubKey: "a", Tags: []nostr.Tag{{"d", "x"}, {"d", "y"}}}
		a, found := nostr.AddressOf(&e)
		if got := a.String(); found != (want != "") || found && got != want {
			t.Errorf("kind %d is at %s, %t, want %q", kind, got, found, want)
		}
		if found && !a.Of(&e) {
			t.Errorf("kind %d is not at its own address", kind)
		}
	}
}
