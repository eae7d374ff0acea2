package stage

import (
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What becomes of the URLs that lists have: each is dialled as it was given, or left out with a reason.
func TestOddURLsInAList(t *testing.T) {
	const relay = "wss://relay.example.com"
	for given, want := range map[string]string{
		// Blanks and characters without width around it.
		" " + relay: relay, relay + "\n": relay, "\t" + relay + "/ ": relay, "\u00a0" + relay + "\u3000": relay,
		"\ufeff" + relay + "\u200b": relay,
		relay + "/\u2060":           relay, relay + "/%20": relay, relay + "/%E2%80%8B": relay, relay + "/chat%20": relay + "/chat",
		"\u202a" + relay + "\u202c": relay, "\u00ad" + relay: relay,
		// Case, port, dot, fragment.
		"WSS://Relay.Example.COM": relay, "Wss://RELAY.example.com/Chat": relay + "/Chat", relay + ":443": relay, relay + ":0443/": relay,
		relay + ":": relay, relay + "./": relay, relay + ".:443/x": relay + "/x", "ws://relay.example.com:80": "ws://relay.example.com",
		"ws://relay.example.com:443": "ws://relay.example.com:443", relay + ":80": relay + ":80", relay + ":8443/": relay + ":8443",
		relay + "#top": relay, relay + "/#": relay, relay + "/x#y?z": relay + "/x", relay + "?": relay, relay + "/?a=b": relay + "?a=b",
		// Slashes, and what is percent-encoded: the server tells them apart.
		relay + "/": relay, relay + "//": relay, relay + "/nostr/": relay + "/nostr/", relay + "/nostr": relay + "/nostr",
		relay + "//nostr": relay + "//nostr", relay + "/a//b": relay + "/a//b", relay + "/%6eostr": relay + "/%6eostr",
		relay + "/a%2fb": relay + "/a%2fb",
		relay + "/a%20b": relay + "/a%20b", relay + "/é": relay + "/%C3%A9", relay + "/a%2": "cannot be parsed",
		relay + "/?q=%20x":          relay + "?q=%20x",
		"wss://relay%2Eexample.com": "cannot be parsed", relay + "/,": relay + "/,",
		// Names of other scripts.
		"wss://xn--bcher-kva.example": "wss://xn--bcher-kva.example", "wss://bücher.example": "write names of other scripts as xn--",
		"wss://relay.example。com": "write names of other scripts as xn--",
		"wss://rеlay.example.com": "write names of other scripts as xn--",
		// Characters within.
		"wss://relay .example.com": "cannot be parsed", "wss://relay\u200b.example.com": "the host has other characters",
		relay + "/in box":      "has blanks",
		relay + "/in\u200bbox": "has blanks", relay + ",": "the host has other characters", relay + "/x read": "has blanks",
		// No scheme, or another; slashes that are missing, too many, or turned round.
		"relay.example.com": "begin it with wss://", "relay.example.com:443": "begin it with wss://",
		"//relay.example.com":       "begin it with wss://",
		"https://relay.example.com": "scheme must be ws or wss", "wss:relay.example.com": "begin it with wss://",
		"wss//relay.example.com": "begin it with",
		"wss:/relay.example.com": "has no host", "wss:///relay.example.com": "has no host", "wss:////relay.example.com": "has no host",
		`wss:\\relay.example.com`: "begin it with wss://", `wss:/\relay.example.com`: "has no host", relay + `\chat`: "cannot be parsed",
		relay + `/a\b`: relay + "/a%5Cb", "wss;//relay.example.com": "begin it with",
		"wss:// relay.example.com": "cannot be parsed", "wsss://x.example.com": "scheme",
		`"` + relay + `"`: "cannot be parsed", "<" + relay + ">": "cannot be parsed", "": "scheme", " ": "scheme", "\u200b": "scheme",
		// Users, and two URLs that stand together.
		"wss://user:secret@relay.example.com": "must not carry a user name", "wss://secret@relay.example.com": "must not carry",
		"wss://@relay.example.com":    "must not",
		relay + "wss://b.example.com": "two URLs", relay + "/wss://b.example.com": "two URLs", relay + "/@secret": relay + "/@secret",
	} {
		e := nostr.Event{Kind: 10002, Tags: []nostr.Tag{{"r", given}}}
		list, err := ReadRelayTags(&e, false)
		if strings.HasPrefix(want, "ws") {
			if err != nil || !slices.Equal(list.Write, []string{want}) || !slices.Equal(list.Read, []string{want}) {
				t.Errorf("%q: %+v, %v, want %s", given, list, err, want)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || len(list.Write)+len(list.Read) > 0 || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %+v, %v, want %q", given, list, err, want)
		}
		e.Tags = append(e.Tags, nostr.Tag{"r", relay})
		if list, err = ReadRelayTags(&e, false); err != nil || !slices.Equal(list.Write, []string{relay}) {
			t.Errorf("%q beside another: %+v, %v", given, list, err)
		}
	}
}

func TestOddTagsOfAList(t *testing.T) {
	const a, b = "wss://a.example.com", "wss://b.example.com"
	both := []string{a, b}
	for _, c := range []struct {
		tags        []nostr.Tag
		write, read []string
	}{
		{[]nostr.Tag{{"r", a + " " + b}}, both, both},
		{[]nostr.Tag{{"r", a + "," + b}}, both, both},
		{[]nostr.Tag{{"r", a + "/;\n" + b, "write"}}, both, nil},
		{[]nostr.Tag{{"r", a + "\u200b|\u00a0WSS://B.example.com/", " READ "}}, nil, both},
		{[]nostr.Tag{{"r", a, b}}, both, both},
		{[]nostr.Tag{{"r", a, b, "write"}}, both, nil},
		{[]nostr.Tag{{"r", a, "", "read"}}, nil, []string{a}},
		{[]nostr.Tag{{"r", a, "READ"}, {"r", b, " write"}}, []string{b}, []string{a}},
		{[]nostr.Tag{{"r", a, "Write\u200b"}, {"r", b, `"read"`}}, []string{a}, []string{b}},
		{[]nostr.Tag{{"r", a, ""}, {"r", b, "read/write"}}, both, both},
		{[]nostr.Tag{{"r", a, "read", "write"}, {"r", b, "Write", "", " READ"}}, both, both},
		{[]nostr.Tag{{"r", a, "read", "read"}}, nil, []string{a}},
		{[]nostr.Tag{{"r", a, "writes"}, {"R", b}, {"r"}, {"relay", b}}, []string{a}, []string{a}},
		{[]nostr.Tag{{"r", a, "read"}, {"r", "WSS://A.example.com:443/#x", "write"}}, []string{"wss://a.example.com"}, []string{a}},
		{[]nostr.Tag{{"r", a + "/x"}, {"r", a + "/x/"}, {"r", a + "/%78"}}, []string{a + "/x"}, []string{a + "/x"}},
		{
			[]nostr.Tag{{"r", a + "/a%2fb"}, {"r", a + "/a%2Fb"}, {"r", a + "/a/b", "read"}},
			[]string{a + "/a%2fb"},
			[]string{a + "/a%2fb", a + "/a/b"},
		},
	} {
		list, err := ReadRelayTags(&nostr.Event{Kind: 10002, Tags: c.tags}, false)
		if err != nil || !slices.Equal(list.Write, c.write) || !slices.Equal(list.Read, c.read) {
			t.Errorf("%q: %+v, %v", c.tags, list, err)
		}
	}
}
