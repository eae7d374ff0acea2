package run

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	gonostr "github.com/nbd-wtf/go-nostr"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// syncworker is a running syncworker.
type syncworker struct {
	*testing.T
	js   jetstream.JetStream
	told *nats.Subscription
}

// startSyncworker runs the third stage over a server of its own.
func startSyncworker(t *testing.T, c config.Config) *syncworker {
	t.Helper()
	js := natstest.Start(t)
	told, err := js.Conn().SubscribeSync(events.SubjectSyncFinished)
	if err != nil {
		t.Fatal(err)
	}
	env, err := NewEnv(c, js, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- SyncWorker(ctx, env) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		env.Close()
	})
	return &syncworker{t, js, told}
}

// link says that an author writes to a relay.
func (w *syncworker) link(url, pubkey string) {
	w.Helper()
	s, err := OpenStore[contract.Link](w.Context(), w.js, contract.BucketLinks, nil)
	if err == nil {
		_, err = s.Update(w.Context(), contract.LinkKey(nostr.RelayKey(url), pubkey), func(contract.Link, bool) (contract.Link, bool) {
			return contract.Link{URL: url, Via: map[string]int64{contract.ViaManual: 1}}, true
		})
	}
	if err != nil {
		w.Fatal(err)
	}
}

// sync has a relay synced, and returns what that came to.
func (w *syncworker) sync(url, cause string) events.SyncFinished {
	w.Helper()
	_, err := w.js.Publish(w.Context(), contract.SyncDueSubject(nostr.RelayKey(url)), nostr.Encode(contract.SyncDue{URL: url, Cause: cause}))
	if err != nil {
		w.Fatal(err)
	}
	msg, err := w.told.NextMsgWithContext(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	result, err := nostr.Decode[events.SyncFinished](msg.Data)
	if err != nil {
		w.Fatal(err)
	}
	return result
}

// A khatru relay with a policy, a real bucket: the second sync offers
// nothing of what was refused.
func TestWhatKhatruRefusesIsNotOfferedAgain(t *testing.T) {
	local, err := khatrutest.Start(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { local.Close() })
	all := signed()[:200]
	key := all[0].PubKey
	var mu sync.Mutex
	offered := map[string]int{}
	local.SetPolicy(func(e *gonostr.Event) string {
		mu.Lock()
		defer mu.Unlock()
		if offered[e.ID]++; e.ID < "4" {
			return "blocked: not here"
		}
		return ""
	})
	refused := 0
	for _, e := range all {
		if e.ID < "4" {
			refused++
		}
	}
	remote := hometest.Start(t, all...)
	w := startSyncworker(t, config.Config{Relay: local.URL(), AllowPrivate: true, SyncEvery: 15 * time.Minute, Drain: 5 * time.Second})
	w.link(remote, key)
	first := w.sync(remote, "1")
	if !first.OK || first.Stored != len(all)-refused || first.Refused != refused || refused == 0 {
		t.Fatalf("the first sync: %+v, want %d refused", first, refused)
	}
	if second := w.sync(remote, "2"); !second.OK || second.Stored != 0 || second.Refused != refused {
		t.Errorf("the second sync: %+v", second)
	}
	mu.Lock()
	defer mu.Unlock()
	for id, n := range offered {
		if n != 1 {
			t.Errorf("%s was offered %d times", id, n)
		}
	}
}

// A real relay, followed live between syncs: what it receives arrives at the
// local relay, from before the subscription and after.
func TestARelayIsFollowedLive(t *testing.T) {
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	remote, local := hometest.Start(t), hometest.Start(t)
	w := startSyncworker(t, config.Config{
		Relay: local, AllowPrivate: true, SyncEvery: 24 * time.Hour, Drain: 5 * time.Second, Sync: config.Syncing{Live: 5},
	})
	w.link(remote, key.PublicKey())
	w.sync(remote, "1")
	at := func(url string) *relay.Conn {
		c, err := relay.Dial(t.Context(), url, relay.Options{AllowPrivate: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	source, sink := at(remote), at(local)
	publish := func() {
		e := nostr.Event{Kind: 1, CreatedAt: time.Now().Unix(), Content: rand.Text()}
		if err := errors.Join(key.SignEvent(&e), source.Publish(t.Context(), e)); err != nil {
			t.Error(err)
		}
	}
	publish()
	arrived := 0
	for u, err := range sink.Subscribe(t.Context(), nostr.Filter{Authors: []string{key.PublicKey()}}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case u.EOSE:
			continue
		}
		if arrived++; arrived == 5 {
			return
		}
		go publish()
	}
}
