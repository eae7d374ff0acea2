package run

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// startDHTWorker runs the second stage with a node at an address of loopback.
func startDHTWorker(t *testing.T, js jetstream.JetStream, addr string, bootstrap []string) {
	t.Helper()
	env, err := NewEnv(config.Config{
		AllowPrivate: true, RefreshEvery: time.Hour, ResolveEvery: time.Hour, Drain: 5 * time.Second,
		DHT: config.DHT{Listen: addr + ":0", Bootstrap: bootstrap, Rate: 5000, PerNode: 500},
	}, js, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- DHTWorker(ctx, env) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		env.Close()
	})
}

// serveWitness answers look-ups as a worker at another address does.
func serveWitness(t *testing.T, js jetstream.JetStream, addr string, bootstrap []string) {
	t.Helper()
	node, err := StartNode(t.Context(), config.Config{AllowPrivate: true, DHT: config.DHT{
		Listen: addr + ":0", Bootstrap: bootstrap, Rate: 5000, PerNode: 500,
	}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := &dht.Stage{AllowPrivate: true, Network: network{node: node}, From: func() string { return addr }}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, js, nil, func(string) {}, contract.NameListResolve, events.ServiceListResolve,
			func(r events.ResolveRequest) int64 { return r.TimeoutMS }, s.Resolve)
	}()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-done, node.Close()); err != nil {
			t.Error(err)
		}
	})
}

// signedRelays makes the record of one relay under a new key.
func signedRelays(t *testing.T) (item bep44.Item) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err == nil {
		item.Value, err = bep44.EncodeRelayList([]string{"wss://relay.example.com"})
	}
	if item.Key, item.Seq = [32]byte(public), 1; err == nil {
		err = item.Sign(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// Twelve sybils that answer the worker's address and nobody else are no holders without
// a warning: their nearness gives them away, and, where another worker is at another
// address, that it finds none of them.
func TestSybilsAroundARecordAreToldOf(t *testing.T) {
	t.Parallel()
	world, err := dhtnet.Start(t.Context(), 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { world.Close() })
	for name, c := range map[string]struct {
		sybils, workers int
		warnings        []string
	}{
		"one worker":            {12, 1, []string{"is no chance"}},
		"two at two addresses":  {24, 2, []string{"is no chance", ", 0 gave it to the worker at 127.0.0.2"}},
		"two, and honest nodes": {0, 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			item := signedRelays(t)
			sybils, err := dhtnet.Surround(item, c.sybils, 40, netip.MustParseAddr("127.0.0.1"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { sybils.Close() })
			js := natstest.Start(t)
			told, err := js.Conn().SubscribeSync(events.SubjectRecordPublished)
			if err != nil {
				t.Fatal(err)
			}
			if c.workers == 2 {
				serveWitness(t, js, "127.0.0.2", world.Bootstrap())
			}
			startDHTWorker(t, js, "127.0.0.1", world.Bootstrap())
			wakeRecord(t, js, item, sybils.Contacts[:min(12, c.sybils)])
			msg, err := told.NextMsgWithContext(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p, err := nostr.Decode[events.RecordPublished](msg.Data)
			for _, warning := range c.warnings {
				if !strings.Contains(p.Warning, warning) {
					t.Errorf("no warning that %q: %+v, %v", warning, p, err)
				}
			}
			if c.warnings == nil && (p.Warning != "" || p.Holders < 4 || p.From != "127.0.0.2") {
				t.Errorf("%+v", p)
			}
			if c.workers == 2 && c.sybils > 0 && p.Holders > 0 {
				t.Errorf("%d holders that show the record to nobody else", p.Holders)
			}
		})
	}
}

// wakeRecord has a record put, from some nodes on.
func wakeRecord(t *testing.T, js jetstream.JetStream, item bep44.Item, last []mainline.Contact) {
	t.Helper()
	target, key := stage.TargetHex(item), hex.EncodeToString(item.Key[:])
	records, err := OpenStore[contract.Record](t.Context(), js, contract.BucketRecords, nil)
	if err == nil {
		_, err = records.Update(t.Context(), contract.RecordKey(target), func(contract.Record, bool) (contract.Record, bool) {
			return contract.Record{
				DHTKey: key, Seq: item.Seq, Value: item.Value, Sig: hex.EncodeToString(item.Sig[:]), PubKey: key,
				Nodes: mainline.AppendCompact(nil, last),
			}, true
		})
	}
	if err == nil {
		wake := nostr.Encode(events.RelayListSigned{PubKey: key, Seq: item.Seq})
		_, err = js.Publish(t.Context(), contract.RelayListSignedSubject(target), wake)
	}
	if err != nil {
		t.Fatal(err)
	}
}
