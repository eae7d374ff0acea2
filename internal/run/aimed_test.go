package run

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// startVictim accepts connections, says nothing, and counts them.
func startVictim(t *testing.T) (url string, reached *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	reached = &atomic.Int64{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			context.AfterFunc(t.Context(), func() { conn.Close() })
		}
	}()
	return "ws://" + l.Addr().String(), reached
}

// listBy is a relay list of a key that nobody knows.
func listBy(t *testing.T, key *schnorr.SecretKey, urls ...string) nostr.Event {
	t.Helper()
	e := nostr.Event{Kind: 10002, CreatedAt: time.Now().Unix()}
	for _, url := range urls {
		e.Tags = append(e.Tags, nostr.Tag{"r", url})
	}
	if err := key.SignEvent(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

// A hundred lists of fresh keys name one silent host by two thousand paths. It gets
// the connections of one host, and the relay of another list, as unknown, is synced
// meanwhile.
func TestAHundredListsAimUsAtNobody(t *testing.T) {
	t.Parallel()
	newKey := func() *schnorr.SecretKey {
		key, err := schnorr.NewSecret()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	victim, reached := startVictim(t)
	local, honest, alice := hometest.Start(t), hometest.Start(t), newKey()
	note := nostr.Event{Kind: 1, CreatedAt: time.Now().Unix(), Content: "hello"}
	if err := alice.SignEvent(&note); err != nil {
		t.Fatal(err)
	}
	hometest.Publish(t, honest, note)
	js := natstest.Start(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, config.Config{
			Relay: local, AllowPrivate: true, Drain: time.Second, SyncEvery: 24 * time.Hour, ResolveEvery: time.Hour,
			Policy: config.Policy{MissingPerMinute: 100},
		}, js, slog.New(slog.DiscardHandler), []string{contract.StageIngest, contract.StageSyncWorker}, func() {})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	var lists []nostr.Event
	strangers := 100
	if testing.Short() {
		strangers = 20 // the race detector takes 36 s of a core for a hundred
	}
	for i := range strangers {
		var urls []string
		for j := range 20 {
			urls = append(urls, fmt.Sprint(victim, "/user/", 20*i+j))
		}
		lists = append(lists, listBy(t, newKey(), urls...))
	}
	hometest.Publish(t, local, lists...)
	if !until(t, time.Minute, func() bool { return reached.Load() > 0 }) {
		t.Fatal("the lists are not followed at all")
	}
	began := time.Now()
	hometest.Publish(t, local, listBy(t, alice, honest))
	if !until(t, time.Minute, func() bool { return slices.Contains(hometest.IDsAt(t, local), note.ID) }) {
		t.Error("the relay of an honest author is not synced")
	}
	// Each is waited for 10 s; some were under way when the clock was started, some have just begun.
	handshakes := 2 + time.Since(began)/(10*time.Second)
	if n := reached.Load(); n > 4*int64(handshakes) {
		t.Errorf("the host was reached %d times in %s", n, time.Since(began))
	}
}
