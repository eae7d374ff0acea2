package relay

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/nbd-wtf/go-nostr/nip11"
)

func serveInfo(t *testing.T, status int, body string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/nostr+json" {
			t.Errorf("Accept: %s", r.Header.Get("Accept"))
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "http", "ws", 1)
}

func TestFetchInfo(t *testing.T) {
	body := `{"name":"r","pubkey":null,"supported_nips":[1,"11",77,"x",null,1.5],"software":7,"version":"2",
		"limitation":{"max_message_length":131072,"max_limit":"many","max_subscriptions":1e400,
		"default_limit":1.5,"auth_required":true,"created_at_lower_limit":94608000},
		"hornet_extension":{"libp2p_id":"p"},"icon":["?"],"fees":[],"retention":{"kinds":[7]}}`
	info, err := FetchInfo(testContext(t), serveInfo(t, 200, body), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(info.SupportedNIPs, []int{1, 11, 77}) {
		t.Errorf("NIPs %v", info.SupportedNIPs)
	}
	want := nip11.RelayLimitationDocument{MaxMessageLength: 131072, AuthRequired: true, CreatedAtLowerLimit: 94608000}
	if info.Name != "r" || info.Version != "2" || info.Software != "" || info.Limitation != want {
		t.Errorf("got %+v", info)
	}
	var ext struct {
		ID string `json:"libp2p_id"`
	}
	if err := json.Unmarshal(info.HornetExtension, &ext); err != nil || ext.ID != "p" {
		t.Errorf("extension %s", info.HornetExtension)
	}
}

func TestNegentropyFrame(t *testing.T) {
	for limit, want := range map[int]int{0: 0, 1: 4096, 100: 4096, 20_200: 10_000, 131_072: 60_000, 65_536: 32_668, 1 << 30: 60_000} {
		i := Info{Limitation: nip11.RelayLimitationDocument{MaxMessageLength: limit}}
		if got := i.limits().Accepts; got != want {
			t.Errorf("limit %d: frame %d, want %d", limit, got, want)
		}
	}
}

func TestPageSize(t *testing.T) {
	for limit, want := range map[int]int{0: 500, -5: 500, 1: 1, 300: 300, 5000: 500} {
		i := Info{Limitation: nip11.RelayLimitationDocument{MaxLimit: limit}}
		if got := i.limits().PageSize(); got != want {
			t.Errorf("max_limit %d: pages of %d, want %d", limit, got, want)
		}
	}
}

// A relay that lists what it supports says by that whether it speaks NIP-77; most documents list something.
func TestNoNegentropyIsSaidByAListWithoutIt(t *testing.T) {
	for _, c := range []struct {
		nips []int
		want bool
	}{{nil, false}, {[]int{1, 11}, true}, {[]int{1, 77}, false}} {
		i := Info{SupportedNIPs: c.nips}
		if got := i.limits().NoNegentropy; got != c.want {
			t.Errorf("%v: %t", c.nips, got)
		}
	}
}

func TestFetchInfoRefuses(t *testing.T) {
	for name, url := range map[string]string{
		"too long": serveInfo(t, 200, `{"name":"`+strings.Repeat("x", maxInfo)+`"}`),
		"no JSON":  serveInfo(t, 200, "<html>"),
		"an array": serveInfo(t, 200, "[]"),
		"an error": serveInfo(t, 404, "{}"),
		"nonsense": "http://127.0.0.1:1",
	} {
		if info, err := FetchInfo(testContext(t), url, testOptions()); err == nil {
			t.Errorf("%s: %+v", name, info)
		}
	}
}

func TestFetchInfoRealRelay(t *testing.T) {
	info, err := FetchInfo(testContext(t), startHome(t), testOptions())
	if err != nil || !slices.Contains(info.SupportedNIPs, 77) || info.Limitation.MaxMessageLength == 0 {
		t.Errorf("%+v, %v", info, err)
	}
}

// Every request and every connection says who we are.
func TestWeSayWhoWeAre(t *testing.T) {
	agents := make(chan string, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agents <- r.Header.Get("User-Agent")
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	url := strings.Replace(server.URL, "http", "ws", 1)
	for given, want := range map[string]string{"": "relaymesh", "relaymesh/1 (+https://example.com)": "relaymesh/1 (+https://example.com)"} {
		o := testOptions()
		o.Agent = given
		if _, err := FetchInfo(testContext(t), url, o); err == nil || <-agents != want {
			t.Errorf("NIP-11: not %q, %v", want, err)
		}
		if _, err := Dial(testContext(t), url, o); err == nil || <-agents != want {
			t.Errorf("a connection: not %q, %v", want, err)
		}
	}
}
