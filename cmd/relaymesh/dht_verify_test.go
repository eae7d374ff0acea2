package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// signedList makes the record of one relay under a new key.
func signedList(t *testing.T) bep44.Item {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	value, err := bep44.EncodeRelayList([]string{"wss://relay.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	item := bep44.Item{Key: [32]byte(public), Seq: 1, Value: value}
	if err := item.Sign(key); err != nil {
		t.Fatal(err)
	}
	return item
}

// A record that only nodes around its target hold, which answer one address alone, is found from there; verify says
// what that is worth, and that another address does not find it.
func TestVerifySaysWhatItCannotSee(t *testing.T) {
	t.Parallel()
	dht, err := dhtnet.Start(t.Context(), 30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dht.Close() })
	for _, count := range []int{12, 3} {
		t.Run(fmt.Sprint(count, " nodes"), func(t *testing.T) {
			item := signedList(t)
			sybils, err := dhtnet.Surround(item, count, 40, netip.MustParseAddr("127.0.0.1"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { sybils.Close() })
			bootstrap := append(dht.Bootstrap(), sybils.Contacts[0].Addr.String())
			for _, node := range dht.Nodes { // so that one lost packet hides them from nobody
				for _, c := range sybils.Contacts {
					node.Introduce(t.Context(), c.Addr)
				}
			}
			verify := func(more ...string) (int, verified, string) {
				code, stdout, stderr := relaymesh(t, append([]string{
					"dht", "verify", hex.EncodeToString(item.Key[:]), "--json", "--allow-private",
					"--dht-listen", "127.0.0.1:0", "--dht-bootstrap", strings.Join(bootstrap, ","), "--nodes", "1",
				}, more...)...)
				if stdout == "" {
					return code, verified{}, stderr
				}
				return code, decode[verified](t, stdout), stderr
			}
			said := func(v verified, word string) bool { return strings.Contains(strings.Join(v.Warnings, "\n"), word) }
			code, v, stderr := verify()
			if code != 0 || len(v.Holders) == 0 || v.SharedBits < 40 || !said(v, "is no chance") || !said(v, "one address sees") {
				t.Errorf("from one address: %d, %+v, %s", code, v, stderr)
			}
			if !strings.Contains(stderr, "warning: ") {
				t.Errorf("a person is not warned: %s", stderr)
			}
			code, v, stderr = verify("--from", "127.0.0.2")
			if code != 0 || !said(v, "1 of 2 addresses do not find the record") || said(v, "one address sees") {
				t.Errorf("from two addresses: %d, %+v, %s", code, v, stderr)
			}
		})
	}
}

// A record that all may see is found from each address, and nothing speaks against it.
func TestVerifyFromManyAddresses(t *testing.T) {
	t.Parallel()
	dht, err := dhtnet.Start(t.Context(), 30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dht.Close() })
	item := signedList(t)
	client, err := dht.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	eventually(t, func() error { // each node answers in time, unless the machine is busy
		if _, err := client.Put(t.Context(), item, mainline.PutOptions{}); err != nil {
			return err
		}
		code, stdout, stderr := relaymesh(t, "dht", "verify", hex.EncodeToString(item.Key[:]), "--json", "--allow-private",
			"--dht-listen", "127.0.0.1:0", "--dht-bootstrap", strings.Join(dht.Bootstrap(), ","), "--from", "127.0.0.2", "--nodes", "1")
		if code != 0 {
			return fmt.Errorf("%d: %s", code, stderr)
		}
		v := decode[verified](t, stdout)
		if len(v.Warnings) > 0 || len(v.Holders) < 8 || v.Holders[0].From != 2 || v.NetworkSize < 5 || v.NetworkSize > 200 {
			return fmt.Errorf("%+v", v)
		}
		return nil
	})
	if code, _, stderr := relaymesh(t, "dht", "verify", hex.EncodeToString(item.Key[:]), "--from", "::1"); code != 2 {
		t.Errorf("an IPv6 address: exit code %d, %s", code, stderr)
	}
}

// A worker of a pipeline looks from where it is; what it finds is told beside what is found here.
func TestVerifyHasAPipelinesWorkerLookElsewhere(t *testing.T) {
	t.Parallel()
	dht, err := dhtnet.Start(t.Context(), 30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dht.Close() })
	item := signedList(t)
	client, err := dht.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Put(t.Context(), item, mainline.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	nc, err := server.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	answers := make(chan events.ResolveResponse, 1)
	_, err = nc.Subscribe(events.ServiceListResolve, func(m *nats.Msg) {
		answer := <-answers
		answers <- answer
		data, _ := json.Marshal(answer)
		_ = m.Respond(data)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		says        events.ResolveResponse
		warns, none string
	}{
		{says: events.ResolveResponse{From: "192.0.2.9", Holders: 8, Seq: item.Seq}, none: "nobody else"},
		{says: events.ResolveResponse{From: "192.0.2.9\x1b[2J", Why: "no node has it"}, warns: "finds no record", none: "one address sees"},
		{says: events.ResolveResponse{From: "192.0.2.9", Holders: 3, Seq: 2}, warns: "finds seq 2 at 3 nodes", none: "one address sees"},
		{says: events.ResolveResponse{}, warns: "no worker of the pipeline is at another address"},
	} {
		answers <- tc.says
		code, stdout, stderr := relaymesh(t, "dht", "verify", hex.EncodeToString(item.Key[:]), "--json", "--allow-private",
			"--dht-listen", "127.0.0.1:0", "--dht-bootstrap", strings.Join(dht.Bootstrap(), ","), "--nodes", "1", "--nats", server.URL())
		<-answers
		if code != 0 {
			t.Fatalf("%d: %s", code, stderr)
		}
		v := decode[verified](t, stdout)
		said := strings.Join(v.Warnings, "\n")
		if !strings.Contains(said, tc.warns) || tc.none != "" && strings.Contains(said, tc.none) || strings.Contains(stderr, "\x1b") ||
			(v.Elsewhere == nil) != (tc.says.From == "") {
			t.Errorf("%+v: %+v, %s", tc.says, v, stderr)
		}
	}
}
