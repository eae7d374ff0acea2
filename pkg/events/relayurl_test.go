package events_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/events"
)

func TestNormalizeRelayURL(t *testing.T) {
	for in, want := range map[string]string{
		"wss://Relay.Example.COM":              "wss://relay.example.com",
		"\twss://relay.example.com/\n":         "wss://relay.example.com",
		"WSS://relay.example.com:443/":         "wss://relay.example.com",
		"ws://relay.example.com:80":            "ws://relay.example.com",
		"wss://relay.example.com:0443":         "wss://relay.example.com",
		"wss://relay.example.com:8443/Inbox//": "wss://relay.example.com:8443/Inbox",
		"wss://relay.example.com./#frag":       "wss://relay.example.com",
		"wss://relay.example.com/?a=b":         "wss://relay.example.com?a=b",
		"wss://[2606:4700::1111]":              "wss://[2606:4700::1111]",
		"wss://1.1.1.1":                        "wss://1.1.1.1",
	} {
		if got, err := events.NormalizeRelayURL(in, false); got != want || err != nil {
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
		"wss://" + strings.Repeat("a", events.MaxURLBytes) + ".example",
	} {
		if got, err := events.NormalizeRelayURL(in, false); err == nil {
			t.Errorf("%q: accepted as %q", in, got)
		} else if !strings.HasPrefix(err.Error(), "relay url") {
			t.Errorf("%q: error %q does not name the field", in, err)
		}
	}
	if got, err := events.NormalizeRelayURL("ws://127.0.0.1:7777/", true); got != "ws://127.0.0.1:7777" || err != nil {
		t.Errorf("loopback, allowed: %q, %v", got, err)
	}
}

func TestPublicAddr(t *testing.T) {
	for addr, want := range map[string]bool{
		"1.1.1.1": true, "2606:4700::1111": true, "::ffff:1.1.1.1": true,
		"::ffff:10.0.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false, "198.18.0.1": false,
		"192.0.2.1": false, "::": false, "::7f00:1": false, "::ffff:0:7f00:1": false, "100::1": false, "3fff::1": false, "5f00::1": false, "ff02::1": false, "2002:7f00:1::": false, "2001::1": false,
	} {
		if got := events.PublicAddr(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: public is %t", addr, got)
		}
	}
}

func FuzzNormalizeRelayURL(f *testing.F) {
	for _, s := range []string{"wss://relay.example.com/x?y#z", "ws://[::1%25eth0]:80", "wss://a@b.c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, err := events.NormalizeRelayURL(s, false)
		if err != nil {
			return
		}
		if twice, err := events.NormalizeRelayURL(once, false); err != nil || twice != once {
			t.Errorf("%q becomes %q, and that becomes %q, %v", s, once, twice, err)
		}
	})
}
