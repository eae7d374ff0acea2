package run

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// mainline runs a DHT for tests of indexes.
func startMainline(t *testing.T) *dhtnet.Network {
	t.Helper()
	network, err := dhtnet.Start(t.Context(), 12)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { network.Close() })
	return network
}

// indexConfig is of a process that knows nothing but bootstrap nodes.
func indexConfig(t *testing.T, network *dhtnet.Network, host string) config.Config {
	t.Helper()
	return config.Config{
		AllowPrivate: true, Index: config.Index{KnownFile: filepath.Join(t.TempDir(), "known.json")},
		DHT: config.DHT{Listen: host + ":0", Bootstrap: network.Bootstrap(), Rate: -1, PerNode: -1},
	}
}

// startIndex runs an index that announces itself, until stop is called.
func startIndex(t *testing.T, network *dhtnet.Network, host, home string) (url string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	dir, up, ended := t.TempDir(), make(chan string, 1), make(chan error, 1)
	l := ListIndex{
		ServeIndex: config.ServeIndex{Announce: true, Kinds: []int{0, 10002}, KeyFile: filepath.Join(dir, "key")},
		Listen:     host + ":0", File: filepath.Join(dir, "index.db"), Home: home, Config: indexConfig(t, network, host),
		Log: slog.New(slog.DiscardHandler),
	}
	go func() { ended <- l.Run(ctx, func(url string) { up <- url }) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		ended <- nil
	}
	t.Cleanup(stop)
	select {
	case url = <-up:
	case err := <-ended:
		t.Fatal(err)
	}
	return url, stop
}

func newUser(t *testing.T) (key *schnorr.SecretKey, list nostr.Event) {
	t.Helper()
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	list = nostr.Event{Kind: nostr.KindRelayList, CreatedAt: time.Now().Unix() - 60, Tags: []nostr.Tag{{"r", "wss://relay.example.com"}}}
	if err := key.SignEvent(&list); err != nil {
		t.Fatal(err)
	}
	return key, list
}

// eventually fails unless something comes to hold.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !until(t, 3*time.Minute, holds) {
		t.Fatal("never: " + what)
	}
}

// Processes that share bootstrap nodes only: what the relay beside one index has seen is found by npub elsewhere, and after
// that index is gone by another one that took it over.
func TestAnyNpubByMainlineAlone(t *testing.T) {
	network := startMainline(t)
	alice, list := newUser(t)
	home := hometest.Start(t, list)
	_, stop := startIndex(t, network, "127.0.0.2", home)
	fresh := func() bool {
		answer, err := ResolveOnce(
			t.Context(), indexConfig(t, network, "127.0.0.4"), events.ResolveRequest{PubKey: alice.PublicKey()}, slog.New(slog.DiscardHandler), nil)
		return err == nil && answer.Found && slices.Equal(answer.Relays, []string{"wss://relay.example.com"}) && answer.Event.ID == list.ID
	}
	eventually(t, "a fresh process finds the list", fresh)
	third, _ := startIndex(t, network, "127.0.0.3", "")
	eventually(t, "another index takes the list over", func() bool { return slices.Contains(hometest.IDsAt(t, third), list.ID) })
	stop()
	eventually(t, "a fresh process finds it without the first index", fresh)
}

// What speaks no websocket gets the list as JSON, and is told why there is none.
func TestPageOfAList(t *testing.T) {
	network := startMainline(t)
	alice, list := newUser(t)
	url, _ := startIndex(t, network, "127.0.0.2", hometest.Start(t, list))
	npub, err := schnorr.EncodeNpub(alice.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	get := func(method, path, etag string) (status int, header http.Header, page listed) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http"+strings.TrimPrefix(url, "ws")+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if etag != "" {
			req.Header.Set("If-None-Match", etag)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if text, err := io.ReadAll(resp.Body); err != nil || len(text) > 0 && json.Unmarshal(text, &page) != nil {
			t.Fatalf("%s %s: %q, %v", method, path, text, err)
		}
		if resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %s: pages of other origins may not read it", method, path)
		}
		return resp.StatusCode, resp.Header, page
	}
	eventually(t, "the index has the list", func() bool {
		status, _, _ := get(http.MethodGet, "/list/"+npub, "")
		return status == http.StatusOK
	})
	_, header, page := get(http.MethodGet, "/list/"+alice.PublicKey(), "")
	var e nostr.Event
	if err := json.Unmarshal(page.Event, &e); err != nil || e.ID != list.ID || schnorr.Verify(&e) != nil {
		t.Errorf("the event is %s", page.Event)
	}
	if !slices.Equal(page.Write, []string{"wss://relay.example.com"}) || header.Get("Cache-Control") == "" {
		t.Errorf("got %+v, %v", page, header)
	}
	if again, _, _ := get(http.MethodGet, "/list/"+npub, header.Get("ETag")); again != http.StatusNotModified {
		t.Errorf("the same again: %d", again)
	}
	bob, _ := newUser(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/list/" + strings.Repeat("0", 64), http.StatusBadRequest}, // no point of the curve
		{http.MethodGet, "/list/nsec1xyz", http.StatusBadRequest},
		{http.MethodGet, "/list/", http.StatusBadRequest},
		{http.MethodGet, "/lists", http.StatusNotFound},
		{http.MethodPost, "/list/" + npub, http.StatusMethodNotAllowed},
		{http.MethodOptions, "/list/" + npub, http.StatusNoContent},
		// Nobody else is there who could be asked.
		{http.MethodGet, "/list/" + bob.PublicKey(), http.StatusServiceUnavailable},
	} {
		status, header, page := get(c.method, c.path, "")
		if status != c.status || c.status >= 400 && page.Why == "" {
			t.Errorf("%s %s: %d %+v, want %d", c.method, c.path, status, page, c.status)
		}
		if c.status == http.StatusServiceUnavailable && header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", c.path)
		}
	}
}
