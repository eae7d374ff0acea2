package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
)

func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
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

func network(t *testing.T) *dhtnet.Network {
	t.Helper()
	n, err := dhtnet.Start(t.Context(), 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// A killed process loses nothing: started again on the same directory it knows
// what it knew, and refreshes the record that became due meanwhile, here on a
// DHT that has forgotten everything.
func TestUpSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	dir, dht := t.TempDir(), network(t)
	nsec := filepath.Join(dir, "nsec")
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(nsec, []byte(key.Hex()), 0o600); err != nil {
		t.Fatal(err)
	}
	nats, relay, admin := loopback.Addr(), loopback.Addr(), loopback.Addr()
	up := func(n *dhtnet.Network) []string {
		return []string{
			"up", "--data", dir, "--nats-listen", nats, "--relay-addr", relay, "--allow-private", "--refresh-every", "10s", "--admin", admin,
			"--dht-listen", "127.0.0.1:0", "--dht-bootstrap", strings.Join(n.Bootstrap(), ","), "--dht-rate=-1", "--dht-per-node=-1",
		}
	}
	first := start(t, "relaymesh is up", up(dht)...)
	const listed = "wss://relay.example.com"
	code, stdout, stderr := relaymesh(t, "publish", "--json", "--relays", listed, "--nsec-file", nsec, "--relay", "ws://"+relay)
	if code != 0 {
		t.Fatalf("publish: exit code %d, %s", code, stderr)
	}
	sent := decode[published](t, stdout)
	resolved := func(n *dhtnet.Network) {
		eventually(t, func() error {
			code, stdout, stderr := relaymesh(t, "resolve", sent.DHTKey, "--json", "--allow-private",
				"--dht-listen", "127.0.0.1:0", "--dht-bootstrap", strings.Join(n.Bootstrap(), ","))
			if code != 0 {
				return fmt.Errorf("resolve: exit code %d, %s", code, stderr)
			}
			if got := decode[resolved](t, lastLine(stdout)); got.Early || got.Seq != sent.Seq || !slices.Equal(got.Relays, []string{listed}) {
				return fmt.Errorf("resolved %+v, published %+v", got, sent)
			}
			return nil
		})
	}
	resolved(dht)
	knows := func() status {
		var s status
		eventually(t, func() error {
			code, stdout, stderr := relaymesh(t, "status", "--json", "--nats", "nats://"+nats)
			if code != 0 {
				return errors.New(stderr)
			}
			s = decode[status](t, stdout)
			return nil
		})
		return s
	}
	before := knows()
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // it was killed
	// All nodes that it remembers are gone.
	if err := dht.Close(); err != nil {
		t.Error(err)
	}

	forgetful := network(t)
	start(t, "relaymesh is up", up(forgetful)...)
	resolved(forgetful)
	after := knows()
	for bucket, count := range before.Buckets {
		if after.Buckets[bucket] < count {
			t.Errorf("bucket %s had %d values and has %d", bucket, count, after.Buckets[bucket])
		}
	}
	if before.Buckets[contract.BucketRecords] != 1 || before.Buckets[contract.BucketAuthors] == 0 ||
		before.Buckets[contract.BucketLinks] == 0 {
		t.Errorf("before the kill it knew %v", before.Buckets)
	}
	flags := []string{"--json", "--allow-private", "--dht-listen", "127.0.0.1:0", "--dht-bootstrap", strings.Join(forgetful.Bootstrap(), ",")}
	eventually(t, func() error { // it is being put again
		code, stdout, stderr := relaymesh(t, append([]string{"dht", "verify", sent.DHTKey}, flags...)...)
		if code != 0 {
			return fmt.Errorf("dht verify: exit code %d, %s", code, stderr)
		}
		if v := decode[verified](t, stdout); v.Seq != sent.Seq || v.Target != sent.Target || len(v.Holders) == 0 || v.Holders[0].Seen == 0 {
			return fmt.Errorf("dht verify: %+v", v)
		}
		return nil
	})
	code, stdout, stderr = relaymesh(t, append([]string{"dht", "status"}, flags...)...)
	if s := decode[dhtStatus](t, stdout); code != 0 || s.Answered == 0 || s.GoodNodes == 0 {
		t.Errorf("dht status: exit code %d, %+v, %s", code, s, stderr)
	}
	if status, body := fetch(t, "http://"+admin+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d, %s", status, body)
	}
	if _, body := fetch(t, "http://"+admin+"/metrics"); !strings.Contains(body, "relaymesh_dht_good_nodes") ||
		!strings.Contains(body, "relaymesh_bus_handled_total") {
		t.Errorf("/metrics lacks the figures of DHT or bus: %s", body)
	}
	// The other ways to the same list.
	npub := sent.Npub
	for _, args := range [][]string{
		{"resolve", npub, "--nats", "nats://" + nats},
		{
			"resolve", npub, "--relay", "ws://" + relay, "--allow-private", "--dht-listen", "127.0.0.1:0", "--dht-bootstrap",
			strings.Join(forgetful.Bootstrap(), ","),
		},
	} {
		if code, stdout, stderr := relaymesh(t, args...); code != 0 || strings.TrimSpace(stdout) != listed {
			t.Errorf("%q: exit code %d, %q, %s", args, code, stdout, stderr)
		}
	}
}
