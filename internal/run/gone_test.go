package run

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Somebody deletes a bucket while a worker runs, which may not make it again: it is not ready and
// says why, and goes on as soon as the bucket has been provisioned.
func TestAWorkerSaysThatABucketIsGoneAndGoesOnWithANewOne(t *testing.T) {
	server := natstest.StartOn(t, natstest.Dir(t))
	js := natstest.Provision(t, server)
	worker := natstest.ConnectAs(t, server, contract.StageIngest, contract.StageIngest)
	admin := loopback.Addr()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	c := config.Config{Admin: admin, ResolveEvery: time.Hour, Drain: time.Second, AllowPrivate: true}
	go func() {
		ended <- Run(ctx, c, worker, slog.New(slog.DiscardHandler), []string{contract.StageIngest}, func() {})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	readyz := func(status int, text string) {
		t.Helper()
		for told, end := "", time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			if response, err := http.Get("http://" + admin + "/readyz?verbose"); err == nil {
				body, _ := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if told = fmt.Sprint(response.StatusCode, " ", string(body)); response.StatusCode == status && strings.Contains(told, text) {
					return
				}
			}
			if time.Now().After(end) {
				t.Fatalf("it says %s, want %d and %q", told, status, text)
			}
		}
	}
	readyz(http.StatusOK, "[+] buckets of ingest")
	if err := js.DeleteKeyValue(t.Context(), contract.BucketAuthors); err != nil {
		t.Fatal(err)
	}
	readyz(http.StatusServiceUnavailable, "[-] streams of ingest: bucket authors is gone: run relaymesh provision")
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	list := nostr.Event{Kind: 10002, CreatedAt: time.Now().Unix(), Tags: []nostr.Tag{{"r", "wss://relay.example.com"}}}
	if err := key.SignEvent(&list); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), events.SubjectEventReceived, nostr.Encode(list)); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	readyz(http.StatusOK, "[+] streams of ingest")
	authors, err := kv.Open[contract.Author](t.Context(), js, contract.BucketAuthors)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, known, err := authors.Get(t.Context(), key.PublicKey()); known {
			return
		} else if time.Now().After(end) {
			t.Fatalf("the author is not known in the new bucket: %v", err)
		}
	}
}
