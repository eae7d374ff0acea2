package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Lists of one second, and one after a clock that was ahead, are each above the one
// before; one that could not be accepted is a failure and not sent.
func TestPublishSignsAboveWhatStands(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	home, err := homerelay.Start(ctx, homerelay.Config{Path: filepath.Join(t.TempDir(), "events.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = home.Close() })
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "nsec")
	if err := os.WriteFile(file, []byte(key.Hex()), 0o600); err != nil {
		t.Fatal(err)
	}
	publish := func(url string) published {
		t.Helper()
		code, stdout, stderr := relaymesh(t, "publish", "--json", "--relays", url, "--nsec-file", file, "--relay", home.URL())
		if code != run.ExitOK {
			t.Fatalf("exit code %d, %s", code, stderr)
		}
		return decode[published](t, stdout)
	}
	conn, err := relay.Dial(ctx, home.URL(), relay.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	last := int64(0)
	for _, url := range []string{"wss://a.example.com", "wss://b.example.com", "wss://c.example.com"} {
		if p := publish(url); p.Seq <= last {
			t.Errorf("%s has seq %d after %d", url, p.Seq, last)
		} else {
			last = p.Seq
		}
	}
	ahead, err := run.SignList(key, []string{"wss://ahead.example.com"}, time.Now().Unix()+nostr.MaxFuture/2)
	if err != nil {
		t.Fatal(err)
	}
	if err := reconcile.Write(ctx, conn, ahead.NIP65); err != nil {
		t.Fatal(err)
	}
	if p := publish("wss://d.example.com"); p.Seq <= ahead.NIP65.CreatedAt {
		t.Errorf("seq %d is not above %d", p.Seq, ahead.NIP65.CreatedAt)
	}
	var urls []string
	for e, err := range conn.Query(ctx, nostr.Filter{Authors: []string{key.PublicKey()}, Kinds: []int{nostr.KindRelayList}}) {
		if err != nil {
			t.Fatal(err)
		}
		urls = append(urls, e.Tag("r").At(1))
	}
	if strings.Join(urls, " ") != "wss://d.example.com" {
		t.Errorf("at the relay stand %q", urls)
	}
	for _, c := range []struct{ standing, want int64 }{
		{0, 1000}, {999, 1000}, {1000, 1001}, {1500, 1501}, {1899, 1900}, {1900, 0}, {1 << 60, 0},
	} {
		if got, err := versionAbove(c.standing, 1000); got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("above %d: %d, %v, want %d", c.standing, got, err, c.want)
		}
	}
}
