package run

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/stage/index"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
)

// newTestResolver knows one index, which has not been reached.
func newTestResolver(t *testing.T) *index.Resolver {
	t.Helper()
	c := config.Config{Index: config.Index{Known: []string{"wss://index.example"}}}
	r, err := newResolver(c, relays{}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// A list index tells at its admin endpoint that it lives, whether it serves, and by metrics how it fills.
func TestAListIndexTellsHowItIs(t *testing.T) {
	network := startMainline(t)
	_, list := newUser(t)
	other, _ := startIndex(t, network, "127.0.0.2", hometest.Start(t, list))
	eventually(t, "the other index has the list", func() bool { return slices.Contains(hometest.IDsAt(t, other), list.ID) })
	admin := startIndexWithAdmin(t, network, "127.0.0.3", other)
	get := func(path string) (status int, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+admin+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	if status, body := get("/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d %s", status, body)
	}
	if status, body := get("/readyz?verbose"); status != http.StatusOK || !strings.Contains(body, "list index") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	holds := func(line string) func() bool {
		return func() bool {
			_, body := get("/metrics")
			return regexp.MustCompile(`(?m)^` + line + `$`).MatchString(body)
		}
	}
	eventually(t, "it has taken a list over from "+other, holds(`relaymesh_index_pulled_events_total [1-9]\d*`))
	for what, line := range map[string]string{
		"a sync went well":          `relaymesh_index_pulls_total\{outcome="ok"\} [1-9]\d*`,
		"it keeps the list":         `relaymesh_index_events [1-9]\d*`,
		"its store has a size":      `relaymesh_index_used_bytes [1-9].*`,
		"the other index is proven": `relaymesh_list_indexes\{standing="proven"\} [1-9]`,
		"its DHT node tells, too":   `relaymesh_dht_queries_total [1-9]\d*`,
	} {
		eventually(t, what, holds(line))
	}
}

func startIndexWithAdmin(t *testing.T, network *dhtnet.Network, host, known string) (admin string) {
	t.Helper()
	admin = loopback.Addr()
	ctx, cancel := context.WithCancel(t.Context())
	dir, up, ended := t.TempDir(), make(chan string, 1), make(chan error, 1)
	l := ListIndex{
		ServeIndex: config.ServeIndex{Announce: true, Kinds: []int{0, 10002}, KeyFile: filepath.Join(dir, "key")},
		Listen:     host + ":0", File: filepath.Join(dir, "index.db"), Config: indexConfig(t, network, host), Log: slog.New(slog.DiscardHandler),
	}
	l.Config.Admin = admin
	l.Config.Index.Known = []string{known} // both begin at the same time, and neither may find the other before it is announced
	go func() { ended <- l.Run(ctx, func(url string) { up <- url }) }()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case <-up:
	case err := <-ended:
		t.Fatal(err)
	}
	return admin
}
