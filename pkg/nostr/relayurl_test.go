package nostr_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestNormalizeRelayURL(t *testing.T) {
	for in, want := range map[string]string{
		"wss://Relay.Example.COM":                 "wss://relay.example.com",
		"\twss://relay.example.com/\n":            "wss://relay.example.com",
		"WSS://relay.example.com:443/":            "wss://relay.example.com",
		"ws://relay.example.com:80":               "ws://relay.example.com",
		"wss://relay.example.com:0443":            "wss://relay.example.com",
		"wss://relay.example.com:8443/Inbox//":    "wss://relay.example.com:8443/Inbox//",
		"wss://relay.example.com./#frag":          "wss://relay.example.com",
		"wss://relay.example.com/?a=b":            "wss://relay.example.com?a=b",
		"wss://[2606:4700::1111]":                 "wss://[2606:4700::1111]",
		"wss://[2606:4700:0::0:1111]":             "wss://[2606:4700::1111]",
		"wss://[::ffff:1.1.1.1]":                  "wss://1.1.1.1",
		"wss://1.1.1.1":                           "wss://1.1.1.1",
		"wss://xn--bcher-kva.example":             "wss://xn--bcher-kva.example",
		"wss://relay.example.com/é":               "wss://relay.example.com/%C3%A9",
		"wss://relay.example.com/nostr/":          "wss://relay.example.com/nostr/",
		"wss://relay.example.com/nostr/?a=b":      "wss://relay.example.com/nostr/?a=b",
		"wss://relay.example.com//":               "wss://relay.example.com",
		"\u200bwss://relay.example.com\u00a0":     "wss://relay.example.com",
		"wss://relay.example.com/\u2060\ufeff":    "wss://relay.example.com",
		"wss://relay.example.com/nostr\u200d":     "wss://relay.example.com/nostr",
		"wss://relay.example.com/%20":             "wss://relay.example.com",
		"wss://relay.example.com/a%20b/%E2%80%8B": "wss://relay.example.com/a%20b/",
		"wss://relay.example.com/a%2Fb":           "wss://relay.example.com/a%2Fb",
		"wss://relay.example.com/%2F":             "wss://relay.example.com/%2F", // no path of slashes: servers tell them apart
		"wss://XN--BCHER-KVA.example:443/#a?b":    "wss://xn--bcher-kva.example",
		"wss://relay.example.com:8443?":           "wss://relay.example.com:8443",
		"wss://relay.example.com/\u3164":          "wss://relay.example.com", // seen as nothing, though a letter
	} {
		if got, err := nostr.NormalizeRelayURL(in, false); got != want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestNormalizeRelayURLRefuses(t *testing.T) {
	for _, in := range []string{
		"", "relay.example.com", "http://relay.example.com", "https://relay.example.com", "javascript:alert(1)",
		"wss://", "wss://relay.example.com:0", "wss://relay.example.com:65536", "wss://user:pw@relay.example.com", "wss://%zz", "wss://relay",
		"ws://localhost", "ws://a.localhost", "ws://127.0.0.1", "ws://127.1", "ws://2130706433", "ws://0x7f000001", "ws://0177.0.0.1",
		"ws://10.0.0.1", "ws://192.168.1.1:7777", "ws://172.16.0.1", "ws://100.64.0.1", "ws://0.0.0.0",
		"ws://169.254.169.254/latest/meta-data", "ws://[::1]", "ws://[::ffff:127.0.0.1]", "ws://[fe80::1]", "ws://[fd00::1]",
		"ws://[64:ff9b::7f00:1]", "ws://metadata.google.internal", "ws://printer.local", "ws://abc.onion",
		"ws://127.0.0.1.", "ws://127.0.0.1..", "ws://127.0.1", "ws://017700000001", "ws://0x7f.1", "ws://127.0.0.0x1", "ws://4294967295",
		"ws://１２７.0.0.1", "ws://127。0。0。1", "ws://①②⑦.0.0.1", "ws://%31%32%37.0.0.1", "ws://[::1%25eth0]", "ws://[fe80::1%25eth0]",
		"wss://bücher.example", "wss://rel\u0430y.example.com", "wss://example.\u212aom", "wss://relay\u3002example.com",
		"wss://relay\u00ad.example.com",
		"ws://localhost.", "ws://LOCALHOST", "ws://a.local.", "ws://vault.corp", "ws://nas.home.arpa", "ws://db.localdomain", "ws://a.i2p",
		"ws://198.18.0.1", "ws://255.255.255.255", "ws://224.0.0.251", "ws://[ff02::1]", "ws://[64:ff9b:1::7f00:1]", "ws://[64:ff9b::a00:1]",
		"ws://[2002:a00:1::]", "ws://[2001:0:a00:1::]", "ws://[fd00:ec2::254]", "ws://[::]", "ws://[::7f00:1]", "ws://[::ffff:0:7f00:1]",
		"wss://relay.example.com:25", "wss://relay.example.com:22", "ws://relay.example.com:6667", "wss://@relay.example.com",
		"wss://relay.example.com:443:443",
		"wss://relay.example.com/ wss://b.example.com", "wss://relay.example.com/,wss://b.example.com", "wss://a.example.comwss://b.example.com",
		"wss://relay.example.com/in box", "wss://relay.example.com/in\u200bbox", "wss://relay.example.com/wss://b.example.com/",
		"wss://relay.example.com?a b", "wss://relay.example.com?x\u00a0#f", "wss://relay.example.com\\@127.0.0.1",
		"wss://relay.example.com/" + strings.Repeat("é", 100),
		"wss://" + strings.Repeat("a", nostr.MaxURLBytes) + ".example",
	} {
		if got, err := nostr.NormalizeRelayURL(in, false); err == nil {
			t.Errorf("%q: accepted as %q", in, got)
		} else if !strings.HasPrefix(err.Error(), "relay url") {
			t.Errorf("%q: error %q does not name the field", in, err)
		}
	}
	for _, in := range []string{
		"wss://user:pw@relay.example.com", "http://user:pw@relay.example.com", "wss://user:pw@relay.example.com:x", "wss://u:pw@",
		"wss://a@b:pw@relay.example.com/?x", "ws:/user:pw@relay.example.com", "user:pw@relay.example.com", "user:pw@host//x",
		"wss://user:pw?x@relay.example.com", "wss://user:pw/x@relay.example.com",
	} {
		if _, err := nostr.NormalizeRelayURL(in, false); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: %v", in, err)
		}
	}
	for in, want := range map[string]string{
		"ws://127.0.0.1:7777/": "ws://127.0.0.1:7777", "ws://relay:22": "ws://relay:22", "ws://[fe80::1%25eth0]": "ws://[fe80::1%25eth0]",
	} {
		if got, err := nostr.NormalizeRelayURL(in, true); got != want || err != nil {
			t.Errorf("%s, allowed: %q, %v", in, got, err)
		}
	}
}

// The keys are those of earlier versions, which cut the slash off the URL itself.
func TestOtherSpellingsAreNoOtherRelay(t *testing.T) {
	for url, before := range map[string]string{
		"wss://relay.example.com":            "wss://relay.example.com",
		"wss://relay.example.com/nostr":      "wss://relay.example.com/nostr",
		"wss://relay.example.com/nostr/":     "wss://relay.example.com/nostr",
		"wss://relay.example.com/nostr//?a/": "wss://relay.example.com/nostr?a/",
	} {
		if sum := sha256.Sum256([]byte(before)); nostr.RelayKey(url) != hex.EncodeToString(sum[:16]) {
			t.Errorf("%s has another key than before", url)
		}
		if !nostr.SameRelay(url, before) || !nostr.HasRelay([]string{"wss://x.example.com", url}, before) {
			t.Errorf("%s is not %s", url, before)
		}
	}
	for _, same := range [][2]string{
		{"/%6Eostr", "/nostr"}, {"/a%2fb/", "/a%2Fb"}, {"/%C3%a9", "/%c3%A9"}, {"/%7euser", "/~user"}, {"?a=%41", "?a=A"},
	} {
		a, b := "wss://relay.example.com"+same[0], "wss://relay.example.com"+same[1]
		if !nostr.SameRelay(a, b) || nostr.RelayKey(a) != nostr.RelayKey(b) {
			t.Errorf("%s is not %s", a, b)
		}
	}
	for _, other := range [][2]string{
		{"/a%2Fb", "/a/b"}, {"/%3Fa", "?a"}, {"/a%20b", "/a+b"}, {"/%252F", "/%2F"}, {"//a", "/a"}, {"/A", "/a"},
	} {
		if nostr.SameRelay("wss://relay.example.com"+other[0], "wss://relay.example.com"+other[1]) {
			t.Errorf("%v are one", other)
		}
	}
	if nostr.SameRelay("wss://relay.example.com/a/", "wss://relay.example.com/b/") || nostr.HasRelay(nil, "") {
		t.Error("two relays are one")
	}
}

func FuzzNormalizeRelayURL(f *testing.F) {
	for _, s := range []string{
		"wss://relay.example.com/x?y#z", "ws://[::1%25eth0]:80", "wss://a@b.c", "wss://[64:ff9b::101:101]", "ws://[fe80::1%25e%2f]",
		"wss://relay.example.com/é?x\u00a0#z", "wss://relay.example.com/%20/%E2%80%8B%20", "ws://a.b:///?",
		"wss://RELAY.EXAMPLE.COM.:0443//", "ws://0x7f.1", "ws://[::ffff:1.2.3.4]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, private := range []bool{false, true} {
			once, err := nostr.NormalizeRelayURL(s, private)
			if err != nil {
				continue
			}
			if twice, err := nostr.NormalizeRelayURL(once, private); err != nil || twice != once {
				t.Errorf("%q becomes %q, and that becomes %q, %v", s, once, twice, err)
			}
			u, err := url.Parse(once)
			if err != nil || u.User != nil || u.Fragment != "" || u.Scheme != "ws" && u.Scheme != "wss" {
				t.Errorf("%q becomes %q, which is read as %+v, %v", s, once, u, err)
				continue
			}
			if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !private && !nostr.PublicAddr(addr) {
				t.Errorf("%q becomes %q, which is not public", s, once)
			}
		}
	})
}
