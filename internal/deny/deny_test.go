package deny

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

var (
	alice, bob, mallory = strings.Repeat("a1", 32), strings.Repeat("b0", 32), strings.Repeat("3a", 32)
	spam                = strings.Repeat("55", 32)
)

// codes read npub1mallory and note1spam.
var codes = Codes{Key: code("npub1mallory", mallory), ID: code("note1spam", spam)}

func code(known, hex string) func(string) (string, error) {
	return func(text string) (string, error) {
		if text != known {
			return "", errors.New("no such code")
		}
		return hex, nil
	}
}

func parse(t *testing.T, text string) *List {
	t.Helper()
	lines, err := Parse(text, codes)
	if err != nil {
		t.Fatal(err)
	}
	var entries []Entry
	for _, l := range lines {
		entries = append(entries, l.Entry)
	}
	return NewList(entries...)
}

func TestEntriesAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]string{
		"npub1mallory":                   "key " + mallory,
		"nostr:npub1mallory # a spammer": "key " + mallory,
		"key npub1mallory":               "key " + mallory,
		"KEY\tnostr:npub1mallory":        "key " + mallory,
		"key " + strings.ToUpper(alice):  "key " + alice,
		"note1spam":                      "id " + spam,
		"id   note1spam":                 "id " + spam,
		"id " + spam + " # why":          "id " + spam,
		"kind 1984":                      "kind 1984",
		"kind 007":                       "kind 7",
		"host Relay.Example.COM.":        "host relay.example.com",
		"host wss://relay.example.com/":  "host relay.example.com",
		"host *.example.com":             "host example.com",
		"host 192.0.2.1":                 "host 192.0.2.1",
		"host 2001:DB8::1":               "host 2001:db8::1",
		"host ::ffff:192.0.2.1":          "host 192.0.2.1",
		"host [2001:db8::1]":             "host 2001:db8::1",
		"word  Buy   Followers":          "word buy followers",
		"word #Spam":                     "word #spam",
		"word kind 1":                    "word kind 1",
	} {
		if e, err := ParseEntry(text, codes); err != nil || e.String() != want {
			t.Errorf("%s: %s, %v, want %s", text, e, err, want)
		}
		if e, err := ParseEntry(want, codes); err != nil || e.String() != want {
			t.Errorf("%s, again: %s, %v", want, e, err)
		}
	}
}

func TestErrorsNameTheLineAndWhatToDo(t *testing.T) {
	for text, want := range map[string]string{
		"spam.example.com":                  "want key, id, kind, host or word",
		alice:                               "want key, id, kind, host or word",
		"hots a.example":                    `"hots": want`,
		"key":                               "a value behind it",
		"npub1mallory npub1mallory":         "no such code",
		"kind #1":                           "a value behind it",
		"kind # 1":                          "want",
		"key bob":                           "key: no such code",
		"key " + alice[:63]:                 "key: no such code",
		"id npub1mallory":                   "id: no such code",
		"kind 65536":                        "0 to 65535",
		"kind -1":                           "0 to 65535",
		"kind 1 2":                          "0 to 65535",
		"host a.example:444":                "a name or an address alone",
		"host wss://a.example/x":            "a name or an address alone",
		"host https://a.example":            "scheme",
		"host a b":                          "host: ",
		"host":                              "a value behind it",
		"word":                              "a value behind it",
		"word \u200b":                       "nothing of it can be seen",
		"word " + strings.Repeat("a", 2000): "bytes",
		"nsec1secret":                       "secret key",
		"key nsec1secret":                   "no such code",
	} {
		_, err := Parse("# a comment\n\nkind 1\n"+text+"\n", codes)
		if err == nil || !strings.HasPrefix(err.Error(), "line 4: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret\"") {
			t.Errorf("%s: the error has it", text)
		}
	}
	if _, err := Parse(strings.Repeat("x y\n", 1000), codes); strings.Count(err.Error(), "\n") != maxErrors-1 {
		t.Errorf("a wrong file: %v", err)
	}
	_, err := Parse(strings.Repeat("word x\n", maxWords+1), codes)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint("line ", maxWords+1)) {
		t.Errorf("too many words: %v", err)
	}
	// As some editors write, and two such files one behind the other; a comment may be of any length.
	text := "\ufeffkind 1\r\n\r\n# kind 2\r\nkind 3\r\n\ufeff#" + strings.Repeat("x", 2*maxLine) + "\n\ufeffkind 5"
	if all, err := Parse(text, codes); err != nil || len(all) != 3 || all[1].Number != 4 || all[2].Number != 6 {
		t.Errorf("as some editors write: %v, %v", all, err)
	}
}

// Files that are no text in UTF-8 are refused, with the line.
func TestFilesThatAreNoText(t *testing.T) {
	for text, want := range map[string]string{
		"kind 1\nword \x00":                        "line 2: is no text",
		"kind 1\nkind 2\nword caf\xe9":             "line 3: is no text",
		"\xff\xfek\x00i\x00n\x00d\x00":             "line 1: the text is in UTF-16",
		"kind 1\n\xfe\xff\x00k\x00i\x00n\x00d":     "line 2: the text is in UTF-16",
		"\x1f\x8b\x08\x00":                         "compressed",
		"kind 1\nword " + strings.Repeat("a", 9e5): "line 2: more than 1024 bytes",
	} {
		if _, err := Parse(text, codes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// Whatever is in a file, an entry is one of a line of it, and written again it is the
// same entry.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"npub1mallory # a spammer\nnote1spam\r\nkind 1984\nhost *.example.com\nword Buy  Followers\n", "\ufeffkind 1\n\ufeffkind 2",
		"host [::ffff:192.0.2.1]\nhost xn--bcher-kva.example", "word \x00\nword \xe9\n\xff\xfek\x00", "key " + alice, "word \u0130\u200b #",
		"nsec1x\nkind 99999\nhost wss://a/b",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, _ := Parse(text, codes)
		last := 0
		for _, l := range all {
			if l.Number <= last || l.Number > 1+strings.Count(text, "\n") {
				t.Fatalf("line %d of %q, after %d", l.Number, text, last)
			}
			last = l.Number
			if e, err := ParseEntry(l.Entry.String(), codes); err != nil || e != l.Entry {
				t.Errorf("%q is read again as %q, %v", l.Entry, e, err)
			}
		}
	})
}

func TestRelaysOfADeniedHost(t *testing.T) {
	l := parse(t, "host example.com\nhost 192.0.2.1\nhost 2001:db8::1\nhost 64:ff9b::c633:6401")
	for url, want := range map[string]bool{
		"wss://example.com": true, "ws://example.com:7777/path": true, "wss://a.b.example.com/?x": true, "wss://EXAMPLE.com.": true,
		"wss://notexample.com": false, "wss://example.com.evil.org": false, "wss://com": false, "wss://example.org": false,
		"ws://192.0.2.1:80": true, "ws://192.0.2.10": false, "ws://[2001:db8::1]:80": true, "ws://[::ffff:192.0.2.1]": true,
		"ws://[64:ff9b::c000:201]:80": true, "ws://[2001:db8::1%25eth0]": true, "ws://[64:ff9b::c000:202]": false,
		"/dns4/relay.example.com/tcp/9001/p2p/x": true, "/ip4/192.0.2.1/udp/9001/quic-v1": true, "/ip4/192.0.2.2/tcp/9001": false,
		"ws://198.51.100.1": true, "/ip6/64:ff9b::c633:6401/tcp/9001": true,
		"-": false, "": false,
	} {
		if l.Relay(url) != want {
			t.Errorf("%s: denied is %t", url, !want)
		}
	}
	var lists Lists
	lists.Set(l)
	if got := lists.Relays([]string{"wss://example.com", "wss://b.org", "wss://a.example.com"}); !slices.Equal(got, []string{"wss://b.org"}) {
		t.Errorf("left are %v", got)
	}
}

func TestEventsThatAreDenied(t *testing.T) {
	l := parse(t, "npub1mallory\nnote1spam\nkind 1984\nword Buy Followers\nword ass\nword #free\nword 詐欺")
	repost := func(e nostr.Event, kind int) nostr.Event {
		return nostr.Event{PubKey: bob, Kind: kind, Content: string(nostr.Encode(&e))}
	}
	text := func(content string, tags ...nostr.Tag) nostr.Event {
		return nostr.Event{PubKey: alice, Kind: 1, ID: strings.Repeat("01", 32), Sig: strings.Repeat("02", 64), Content: content, Tags: tags}
	}
	hers := text("hello")
	hers.PubKey = mallory
	named := text("hello")
	named.ID = spam
	for name, tc := range map[string]struct {
		event nostr.Event
		want  What
	}{
		"nothing":                    {text("hello", nostr.Tag{"p", mallory}, nostr.Tag{"e", spam}), ""},
		"a key":                      {hers, Key},
		"an id":                      {named, ID},
		"a kind":                     {nostr.Event{PubKey: alice, Kind: 1984}, Kind},
		"a word":                     {text("come and BUY  followers!"), Word},
		"over two lines":             {text("buy\n\tfollowers"), Word},
		"hidden joiners":             {text("b\u200buy foll\u2060owers"), Word},
		"in a tag":                   {text("", nostr.Tag{"t", "x"}, nostr.Tag{"subject", "Buy followers"}), Word},
		"a tag's name":               {text("", nostr.Tag{"ass", "x"}), ""},
		"a part of a word":           {text("a class, as assumed; bypass; assé"), ""},
		"behind such parts":          {text("class ass"), Word},
		"beside signs":               {text("(ass)"), Word},
		"a hashtag":                  {text("it's #free"), Word},
		"another hashtag":            {text("#freedom"), ""},
		"in a script without blanks": {text("これは詐欺です"), Word},
		"a repost of a key's":        {repost(hers, 6), Key},
		"a generic repost":           {repost(named, 16), ID},
		"a repost of a word":         {repost(text("buy\nfollowers"), 6), Word},
		"a note that is like one":    {repost(hers, 1), ""},
		"a repost of a repost":       {repost(repost(text("fine"), 6), 6), ""},
		"a repost that is no event":  {nostr.Event{Kind: 6, Content: `{"kind":1.0,"PUBKEY":"` + bob + `","pubkey":"` + mallory + `"}`}, Key},
		"a repost of two names":      {nostr.Event{Kind: 6, Content: `{"pubkey":"` + mallory + `","Pubkey":"` + bob + `"}`}, Key},
		"a key's zap":                {nostr.Event{Kind: 9735, Tags: []nostr.Tag{{"description", string(nostr.Encode(&hers))}}}, Key},
		"a zap with a word":          {nostr.Event{Kind: 9735, Tags: []nostr.Tag{{"description", `{"content":"buy\nfollowers"}`}}}, Word},
		"an empty repost":            {nostr.Event{Kind: 6}, ""},
	} {
		if got := l.Event(&tc.event); got != tc.want {
			t.Errorf("%s: %q is denied, want %q", name, got, tc.want)
		}
	}
}

func TestNoListDeniesNothing(t *testing.T) {
	var none *Lists
	var zero Lists
	e := nostr.Event{PubKey: mallory, Kind: 6, Content: "{}"}
	for _, l := range []*Lists{none, &zero} {
		if l.Key("") || l.ID("") || l.Relay("wss://a.example") || l.Event(&e) || len(l.Relays([]string{"a"})) != 1 || !l.Now().Empty() ||
			len(l.Now().Keys()) > 0 {
			t.Error("something is denied")
		}
	}
}
