package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
)

// A pipeline with a prefix runs beside another one in the same account, and each knows its own
// users only. Whoever names another prefix finds nothing, and is told so.
func TestUpWithAPrefixSharesItsServer(t *testing.T) {
	t.Parallel()
	dir, nats, admin := t.TempDir(), loopback.Addr(), loopback.Addr()
	start(t, "relaymesh is up", append(quiet(dir), "--nats-listen", nats, "--admin", admin, "--nats-prefix", "alice")...)
	code, stdout, stderr := relaymesh(t, "provision", "--nats", nats)
	if code != run.ExitOK || !strings.Contains(stdout, "created stream INTAKE") {
		t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
	}
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	nsec := filepath.Join(dir, "nsec")
	if err := os.WriteFile(nsec, []byte(key.Hex()), 0o600); err != nil {
		t.Fatal(err)
	}
	publish := []string{"publish", "--relays", "wss://relay.example.com", "--nsec-file", nsec, "--nats", nats, "--nats-prefix", "alice"}
	if code, _, stderr := relaymesh(t, publish...); code != run.ExitOK {
		t.Fatalf("publish: exit code %d, %s", code, stderr)
	}
	of := func(args ...string) (known uint64, err error) {
		code, stdout, stderr := relaymesh(t, append([]string{"status", "--json", "--nats", nats}, args...)...)
		if code != run.ExitOK {
			return 0, fmt.Errorf("status %q: exit code %d, %s", args, code, stderr)
		}
		s := decode[status](t, stdout)
		return s.Buckets[contract.BucketAuthors], nil
	}
	eventually(t, func() error {
		known, err := of("--nats-prefix", "alice")
		if err == nil && known != 1 {
			err = fmt.Errorf("%d users are known", known)
		}
		return err
	})
	if known, err := of(); err != nil || known != 0 {
		t.Errorf("the pipeline without a prefix knows %d users, %v", known, err)
	}
	if _, err := of("--nats-prefix", "bob"); err == nil || !strings.Contains(err.Error(), "(--nats-prefix bob)") {
		t.Errorf("a prefix that nobody has: %v", err)
	}
	eventually(t, func() error { // the console of up
		response, err := http.Get("http://" + admin + "/users?format=json")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err == nil && !strings.Contains(string(text), key.PublicKey()) {
			err = fmt.Errorf("the console does not know the user: %d %s", response.StatusCode, text)
		}
		return err
	})
}

func TestNATSPermissionsOfAPrefix(t *testing.T) {
	t.Parallel()
	for _, name := range append(contract.Stages(), contract.RoleConsole, contract.RoleGateway, contract.RoleRelay) {
		code, stdout, stderr := here("nats-permissions", name, "--json", "--nats-prefix", "alice")
		if code != run.ExitOK {
			t.Fatal(stderr)
		}
		got := decode[contract.Permissions](t, stdout)
		for _, subject := range append(got.Publish, got.Subscribe...) {
			if !strings.Contains(subject, "alice") && !strings.HasPrefix(subject, "$SRV.") {
				t.Errorf("%s may %s, which is not of that pipeline", name, subject)
			}
		}
	}
	for _, account := range []string{"pipeline", "feeders"} {
		_, stdout, _ := here("nats-permissions", account, "--json", "--nats-prefix", "alice")
		var got map[string][]json.RawMessage
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatal(err)
		}
		for _, list := range got {
			for _, shared := range list {
				if s := string(shared); !strings.Contains(s, `"alice.`) && !strings.Contains(s, `"$KV.alice_`) {
					t.Errorf("%s shares %s", account, shared)
				}
			}
		}
	}
	for _, args := range [][]string{
		{"nats-permissions", "ingest", "--nats-prefix", "a.b"},
		{"status", "--nats-prefix", "retry"},
		{"provision", "--nats-prefix", "KV_x"},
		{"nats", "--data", t.TempDir(), "--nats-prefix", "*"},
		{"up", "--data", t.TempDir(), "--nats-prefix", "a b"},
	} {
		if code, _, stderr := here(args...); code != run.ExitUsage || !strings.Contains(stderr, "--nats-prefix: ") {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
}
