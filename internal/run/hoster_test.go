package run

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/dnstest"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// startHoster runs many relays behind one address, which the name in the request
// tells apart, and returns their URLs. Each has one of the events.
func startHoster(t *testing.T, held []nostr.Event) (urls []string) {
	t.Helper()
	dns, relays := dnstest.StartDNS(t), map[string]http.Handler{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		relays[req.Host].ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	for i, e := range held {
		r, err := khatrutest.Start(t.Context(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		hometest.Publish(t, r.URL(), e)
		name := fmt.Sprintf("name%d.nostr1.com", i)
		relays[name+":"+port] = httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: strings.TrimPrefix(r.URL(), "ws://")})
		dns.Set(name, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
		urls = append(urls, "ws://"+name+":"+port)
	}
	return urls
}

// Relay hosters are not taken for one relay: each name of a hoster at one address is
// synced. make test-hoster does it with 300 names.
func TestTheNamesOfAHosterAreSyncedNameByName(t *testing.T) {
	names := 40
	if n := os.Getenv("RELAYMESH_HOSTER"); n != "" {
		var err error
		if names, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	var notes, lists []nostr.Event
	var keys []*schnorr.SecretKey
	for i := range names {
		key, err := schnorr.NewSecret()
		if err != nil {
			t.Fatal(err)
		}
		note := nostr.Event{Kind: 1, CreatedAt: time.Now().Unix(), Content: fmt.Sprint("by author ", i)}
		if err := key.SignEvent(&note); err != nil {
			t.Fatal(err)
		}
		notes, keys = append(notes, note), append(keys, key)
	}
	for i, url := range startHoster(t, notes) {
		lists = append(lists, listBy(t, keys[i], url))
	}
	local, js := hometest.Start(t), natstest.Start(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, config.Config{
			Relay: local, AllowPrivate: true, Drain: time.Second, SyncEvery: 24 * time.Hour, ResolveEvery: time.Hour,
		}, js, slog.New(slog.DiscardHandler), []string{contract.StageIngest, contract.StageSyncWorker}, func() {})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	began := time.Now()
	hometest.Publish(t, local, lists...)
	lacking := len(notes)
	if !until(t, 5*time.Minute, func() bool {
		has := hometest.IDsAt(t, local)
		lacking = 0
		for _, e := range notes {
			if !slices.Contains(has, e.ID) {
				lacking++
			}
		}
		return lacking == 0
	}) {
		t.Errorf("%d of %d names are not synced", lacking, names)
	}
	t.Logf("%d names in %s", names, time.Since(began).Round(time.Second))
}
