package schnorr

import (
	"strings"
	"testing"

	"github.com/nbd-wtf/go-nostr/nip19"
)

// People copy a code with whatever stands around it.
func TestBareCode(t *testing.T) {
	id, pubkey := strings.Repeat("0a", 32), strings.Repeat("0b", 32)
	note, _ := nip19.EncodeNote(id)
	npub, _ := nip19.EncodePublicKey(pubkey)
	nevent, _ := nip19.EncodeEvent(id, []string{"wss://a.example"}, pubkey)
	naddr, _ := nip19.EncodeEntity(pubkey, 30023, "slug", nil)
	for _, code := range []string{note, npub, nevent, naddr, strings.ToUpper(note), id, strings.ToUpper(id), id[:40]} {
		for _, around := range []string{
			"%", " %\r\n", "\ufeff\u200b%\u2060", `"%"`, `'%'`, "`%`", "“%”", "„%“", "»%«", "‘%’", "‹%›", "「%」", "(%)", "[%]", "{%}", "<%>", "<%>.",
			"%.", "%,", "%;", "%:", "%!", "%?", "%…", "…%", "(%),", `"%",`, `\"%\"`, "**%**",
			"_%_", "- %", "👉 %", "@%", "nostr:%", "NOSTR:%", "nostr://%",
			"web+nostr:%", "web+nostr://%", "<nostr:%>", `"nostr:%".`, "“nostr:%”,", "nostr:nostr:%", "(nostr:%)", "[a note](nostr:%)",
			"[a note](https://njump.me/%).", "https://njump.me/%", "http://njump.me/%.", "<https://njump.me/%>", "njump.me/%", "www.primal.net/e/%",
			"https://primal.net/e/%", "https://primal.net/p/%?x=1&y=2",
			"https://snort.social/%", "https://snort.social/e/%/", "https://coracle.social/notes/%",
			"https://iris.to/%#top", "https://nostrudel.ninja/#/n/%", "https://habla.news/a/%",
			"https://nostr.band/?q=%", "https://nostter.app/%?lang=de",
			"https://yakihonne.com/article/%", "https://example.com/open?uri=nostr%3A%&a=b",
			"HTTPS://NJUMP.ME/%", "http://127.0.0.1:8080/%", "https://njump.me/\u200b%",
		} {
			given := strings.ReplaceAll(strings.ReplaceAll(around, "%3A", "\x00"), "%", code)
			given = strings.ReplaceAll(given, "\x00", "%3A")
			if got := BareCode(given); got != code {
				t.Errorf("%q: %q", given, got)
			}
		}
	}
	if got := BareCode("https://" + npub + ".example.com/post"); got != npub {
		t.Errorf("a host: %q", got)
	}
	if got := BareCode(note[:20] + "\u00ad\u200b" + note[20:]); got != note {
		t.Errorf("a break: %q", got)
	}
	for given, want := range map[string]string{
		"30023:" + pubkey + ":d.":                "30023:" + pubkey + ":d.",
		" 30023:" + pubkey + ":(d)":              "30023:" + pubkey + ":(d)",
		`"0:` + pubkey + `:"`:                    "0:" + pubkey + ":",
		"<nostr:0:" + pubkey + ":>":              "0:" + pubkey + ":",
		"30023:" + pubkey + ":a.b/" + id:         "30023:" + pubkey + ":a.b/" + id,
		"30023:" + pubkey + ":https://a.b/" + id: "30023:" + pubkey + ":https://a.b/" + id,
		"look at " + note:                        "look at " + note,
		"x" + note:                               "x" + note,
		"wss://filter.example.com/" + npub:       "wss://filter.example.com/" + npub,
		"https://njump.me/":                      "https://njump.me/",
		"hello.":                                 "hello.", "": "", "()": "", "1": "1",
	} {
		if got := BareCode(given); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}
