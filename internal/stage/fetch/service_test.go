package fetch

import (
	"strings"
	"testing"
)

// A relay that was named and that is not asked is said, with the reason.
func TestNamedRelaysThatAreNotAskedAreSaid(t *testing.T) {
	for named, want := range map[string]string{
		"wss://a.example.com":                   "",
		"ws://10.0.0.1,wss://a.example.com":     `1 relays that were named were not asked, such as relay url "ws://10.0.0.1": leads`,
		"wss://x.onion,ws://a\x1b.example,http": `3 relays that were named were not asked, such as relay url "wss://x.onion": a name`,
	} {
		got := (&Stage{}).notAsked(strings.Split(named, ","))
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%q: %q, want %q", named, got, want)
		}
	}
	if got := (&Stage{AllowPrivate: true}).notAsked([]string{"ws://10.0.0.1"}); got != "" {
		t.Errorf("allowed: %q", got)
	}
}
