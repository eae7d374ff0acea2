package relay

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const namedKey = "5c83da77af1dec6d7289834998ad7aafbd9e2191396d75ec3cc27f5a77226f36"

// A domain is believed about names of its own only, in so many bytes, without a redirect.
func TestADomainSaysAtWhichRelaysAnAuthorIs(t *testing.T) {
	many := make([]string, 500)
	for i := range many {
		many[i] = fmt.Sprintf("%q", fmt.Sprintf("wss://r%d.example.com", i))
	}
	says := func(name, relays string) string {
		return fmt.Sprintf(`{"names":{%q:%q},"relays":{%q:[%s]}}`, name, namedKey, namedKey, relays)
	}
	for name, c := range map[string]struct {
		body string
		want int    // relays
		says string // of the error
	}{
		"the author's":     {says("bob", `"wss://a.example.com","x","ws://10.0.0.1"`), 1, ""},
		"without relays":   {fmt.Sprintf(`{"names":{"bob":%q}}`, namedKey), 0, ""},
		"another's":        {fmt.Sprintf(`{"names":{"bob":"00"},"relays":{%q:["wss://a.example.com"]}}`, namedKey), 0, "another's"},
		"of another name":  {says("eve", `"wss://a.example.com"`), 0, "another's"},
		"too many relays":  {says("bob", strings.Join(many, ",")), nostr.MaxListRelays, ""},
		"too long":         {`{"names":{"x":"` + strings.Repeat("a", maxNames) + `"}}`, 0, "more than"},
		"no JSON":          {"<html>", 0, "invalid character"},
		"of another form":  {`{"names":["bob"]}`, 0, "cannot unmarshal"},
		"it leads further": {"", 0, "302"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c.body == "" {
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
				return
			}
			if r.URL.Path == "/.well-known/nostr.json" && r.URL.Query().Get("name") == "bob" {
				_, _ = w.Write([]byte(c.body))
			}
		}))
		relays, err := fetchNames(t.Context(), server.URL, "bob", namedKey, Options{AllowPrivate: true}.withDefaults())
		server.Close()
		if c.want == 1 && !slices.Contains(relays, "wss://a.example.com") {
			t.Errorf("%s: %v", name, relays)
		}
		if c.says == "" && (err != nil || len(relays) < c.want) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %d relays, %v", name, len(relays), err)
		}
		if len(relays) > nostr.MaxListRelays {
			t.Errorf("%s: %d relays", name, len(relays))
		}
	}
}

// What leads to this machine or its network is not asked, and what is no identifier neither.
func TestPrivateDomainsAreNotAskedForNames(t *testing.T) {
	for _, name := range []string{
		"bob@127.0.0.1", "bob@localhost.localdomain", "bob@10.0.0.1", "bob@169.254.169.254", "bob@a.example.com:8443", "bob@a.example.com/x",
		"bob@user@a.example.com", "bob", "", "@a.example.com", "bob@", "bob@a..com", "bo b@a.example.com",
		"bob@" + strings.Repeat("a.", 300) + "com",
		"bob?x=1@a.example.com", "bob@a.example.com#",
	} {
		if relays, err := FetchNIP05(t.Context(), name, namedKey, Options{}); err == nil {
			t.Errorf("%q: %v", name, relays)
		}
	}
}

// FuzzNIP05 reads NIP-05 documents: no more relays than a list has, none that is private.
func FuzzNIP05(f *testing.F) {
	for _, text := range []string{
		fmt.Sprintf(`{"names":{"bob":%q},"relays":{%q:["wss://a.example.com","ws://10.0.0.1",""]}}`, namedKey, namedKey),
		`{"names":null,"relays":null}`, `{"relays":{"":[null]}}`, `[]`, `{"names":{"bob":1}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		relays, err := parseNames(data, "bob", namedKey, false)
		if len(relays) > nostr.MaxListRelays || err != nil && relays != nil {
			t.Errorf("%q: %d relays, %v", data, len(relays), err)
		}
		for _, at := range relays {
			if again, err := nostr.NormalizeRelayURL(at, false); err != nil || again != at {
				t.Errorf("%q: relay %q", data, at)
			}
		}
	})
}
