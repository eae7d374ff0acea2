package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/console"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// top says what the first page of the console says, with text of others made harmless.
func TestTopTellsWhatIsWrongAndWhatIsKnown(t *testing.T) {
	t.Parallel()
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	if code, _, stderr := here("top", "--nats", server.URL()); code != run.ExitFailed || !strings.Contains(stderr, "provision") {
		t.Errorf("without streams: exit code %d, %s", code, stderr)
	}
	if code, _, stderr := here("provision", "--nats", server.URL()); code != run.ExitOK {
		t.Fatal(stderr)
	}
	js, err := run.Dial(t.Context(), server.URL(), config.NATSAuth{}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	put := func(bucket, key string, value any) {
		t.Helper()
		if _, err := js.Publish(t.Context(), "$KV."+bucket+"."+key, nostr.Encode(value)); err != nil {
			t.Fatal(err)
		}
	}
	pubkey, target, now := strings.Repeat("ab", 32), strings.Repeat("cd", 20), time.Now().Unix()
	worker := contract.Worker{Stages: contract.Stages(), Version: "1", At: now, Started: now, Conditions: []contract.Condition{{Name: "DHT"}}}
	put(contract.BucketWorkers, "up.1", worker)
	put(contract.BucketAuthors, pubkey, contract.Author{})
	put(contract.BucketRecords, contract.RecordKey(target),
		contract.Record{PubKey: pubkey, Nodes: make([]byte, 26), Held: 9, VerifiedAt: now, NextDue: now + 60})
	code, stdout, stderr := here("top", "--nats", server.URL())
	for _, want := range []string{"all is well", "1 of 1 users", "by 8 to 12 nodes 1", "0 of 0 live relays", "fetcher "} {
		if code != run.ExitOK || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d, %s; it does not say %q: %s", code, stderr, want, stdout)
		}
	}
	worker.Gateway = &contract.Gateway{Relay: "ws://home", Connections: 3, Watched: 20, Completed: 2, Vain: 1}
	put(contract.BucketGateways, "alone", contract.GatewayProcess{Gateway: contract.Gateway{Relay: "ws://home", Connections: 4, Messages: 70}})
	worker.Syncs = []contract.RunningSync{{
		URL: "wss://x.example\x1b[2J", Begun: now, Done: 1, Of: 3, Missing: 7, Stored: 5, Passes: 1, Messages: 9, Bytes: 2048,
	}}
	worker.Passes = []contract.RunningPass{{Slice: "01", Begun: now, Looked: 3, Of: 9}}
	put(contract.BucketWorkers, "up.1", worker)
	_, stdout, _ = here("top", "--nats", server.URL())
	for _, want := range []string{
		"gateway ok: 7 connections, 70 messages, 20 REQs watched, 2 events completed, 1 REQs that waited in vain",
		"survey of slice 01: 3 of 9 relays",
		"1 of 3 parts; pass 2: 7 missing, 5 stored, 0 sent; 9 messages, 2 KiB",
	} {
		if !strings.Contains(strings.Join(strings.Fields(stdout), " "), want) || strings.Contains(stdout, "\x1b") {
			t.Errorf("it does not say %q: %s", want, stdout)
		}
	}
	worker.Conditions[0] = contract.Condition{Name: "DHT", Wrong: "no node answers\x1b[2J", Do: "let UDP out"}
	put(contract.BucketWorkers, "up.1", worker)
	if _, stdout, _ := here("top", "--nats", server.URL()); !strings.Contains(stdout, "no node answers") ||
		!strings.Contains(stdout, "→ let UDP out") || strings.Contains(stdout, "\x1b") || strings.Contains(stdout, "all is well") {
		t.Errorf("where the DHT is dead it says %s", stdout)
	}
	_, stdout, _ = here("top", "--json", "--nats", server.URL())
	if got := decode[console.Overview](t, stdout); got.Summary.Users.Findable != 1 || len(got.Summary.Syncs) != 1 ||
		got.Workers[0].Gateway.Watched != 20 || got.Health[0].Name != "DHT" || got.Health[0].OK {
		t.Errorf("its JSON is %s", stdout)
	}
	if code, _, _ := here("top", "--every", "1ms", "--nats", server.URL()); code != run.ExitUsage {
		t.Errorf("--every 1ms: exit code %d", code)
	}
}
