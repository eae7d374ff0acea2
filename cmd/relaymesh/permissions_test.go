package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// A server takes what the command prints, and knows each user by a key.
func TestNATSPermissionsAreAServersConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	seeds, publics := map[string]string{}, map[string]string{}
	var users, feeders strings.Builder
	for _, account := range []string{"pipeline", "feeders"} {
		code, stdout, stderr := here("nats-permissions", account, "--account", "OURS")
		if code != 0 {
			t.Fatal(stderr)
		}
		write(account+".conf", stdout)
	}
	for _, name := range append(contract.Stages(), contract.RoleRelay, contract.RoleGateway, contract.RoleConsole, "operator") {
		key, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, _ := key.PublicKey()
		seed, _ := key.Seed()
		seeds[name], publics[name] = write(name+".nk", string(seed)), public
		if name == "operator" {
			fmt.Fprintf(&users, "{ nkey: %s }\n", public)
			continue
		}
		code, stdout, stderr := here("nats-permissions", name)
		if code != 0 {
			t.Fatal(stderr)
		}
		write(name+".conf", stdout)
		of := &users
		if name == contract.RoleRelay || name == contract.RoleGateway {
			of = &feeders
		}
		fmt.Fprintf(of, "{ nkey: %s, permissions { include %s.conf } }\n", public, name)
	}
	opts, err := server.ProcessConfigFile(write("nats.conf", fmt.Sprintf(
		"listen: 127.0.0.1:-1\njetstream { store_dir: %q, max_file_store: 1TB }\naccounts {\n"+
			"OURS { jetstream: enabled\ninclude pipeline.conf\nusers: [\n%s] }\n"+
			"%s { include feeders.conf\nusers: [\n%s] }\n}\n", filepath.Join(dir, "js"), &users, contract.AccountFeeders, &feeders)))
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	for _, name := range append(contract.Stages(), contract.RoleRelay, contract.RoleGateway, contract.RoleConsole) {
		want, _ := contract.PermissionsOf(name)
		got := opts.Nkeys[slices.IndexFunc(opts.Nkeys, func(u *server.NkeyUser) bool { return u.Nkey == publics[name] })].Permissions
		if !slices.Equal(got.Publish.Allow, want.Publish) || !slices.Equal(got.Subscribe.Allow, want.Subscribe) ||
			(got.Response != nil) != want.Responses {
			t.Errorf("%s may %+v %+v", name, got.Publish, got.Subscribe)
		}
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("server is not ready")
	}
	if code, _, stderr := here("provision", "--nats", s.ClientURL(), "--nats-creds", seeds["operator"]); code != 0 {
		t.Fatal(stderr)
	}
	if code, _, stderr := here("status", "--nats", s.ClientURL()); code != run.ExitFailed || !strings.Contains(stderr, "Authorization") {
		t.Errorf("without a key: exit code %d, %s", code, stderr)
	}
	if code, _, stderr := here("status", "--nats", s.ClientURL(), "--nats-creds", write("none", "SUnonsense")); code == 0 ||
		!strings.Contains(stderr, "neither an nkey seed") {
		t.Errorf("with no key in the file: exit code %d, %s", code, stderr)
	}
	if code, failed := doctor(t, "--nats", s.ClientURL(), "--nats-creds", seeds["operator"], "--skip", "relay,dht"); code != 0 {
		t.Errorf("to the operator these fail: %q", failed)
	}
	js, err := run.Dial(t.Context(), s.ClientURL(), config.NATSAuth{NATSCreds: seeds["relay"]}, contract.RoleRelay,
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	if _, err := js.Publish(t.Context(), events.SubjectEventReceived, []byte("{}")); err != nil {
		t.Errorf("a relay may not publish an event: %v", err)
	}
	bucket := "$KV." + contract.BucketGateways + "."
	js.Conn().SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	if err := js.Conn().Publish(bucket+"relay", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	gateway, err := run.Dial(t.Context(), s.ClientURL(), config.NATSAuth{NATSCreds: seeds["gateway"]}, contract.RoleGateway,
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gateway.Conn().Close)
	if ack, err := gateway.Publish(t.Context(), bucket+"gateway", []byte("{}")); err != nil || ack.Sequence != 1 {
		t.Errorf("a gateway may not tell how it does, or a relay may: %+v, %v", ack, err)
	}
	// An acknowledgement goes no further than the feeders' account.
	operator, err := run.Dial(t.Context(), s.ClientURL(), config.NATSAuth{NATSCreds: seeds["operator"]}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(operator.Conn().Close)
	if err := js.Conn().PublishRequest(events.SubjectEventReceived, "$KV.records.x", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), events.SubjectEventReceived, []byte("{}")); err != nil { // comes after it
		t.Fatal(err)
	}
	records, err := operator.Stream(t.Context(), "KV_records")
	if err != nil || records.CachedInfo().State.LastSeq != 0 {
		t.Errorf("a relay wrote a record: %+v, %v", records, err)
	}
}

func gatewayMay() contract.Permissions {
	p, _ := contract.PermissionsOf(contract.RoleGateway)
	return p
}

// At a leaf node the API of JetStream and the keys of buckets are those of a domain, and all
// else is as it was.
func TestNATSPermissionsInADomain(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := here("nats-permissions", "ingest", "--json", "--nats-domain", "hub")
	if code != 0 {
		t.Fatal(stderr)
	}
	got, own := decode[contract.Permissions](t, stdout), contract.Permissions{}
	if p, ok := contract.PermissionsOf("ingest"); ok {
		own = p
	}
	for i, subject := range own.Publish {
		want := subject
		switch {
		case strings.HasPrefix(subject, "$JS.API."):
			want = "$JS.hub.API." + strings.TrimPrefix(subject, "$JS.API.")
		case strings.HasPrefix(subject, "$KV."):
			want = "$JS.hub.API." + subject
		}
		if got.Publish[i] != want {
			t.Errorf("%s became %s, want %s", subject, got.Publish[i], want)
		}
	}
	if !slices.Equal(got.Subscribe, own.Subscribe) {
		t.Errorf("it may subscribe to %q, want %q", got.Subscribe, own.Subscribe)
	}
	// An account of feeders has no JetStream, and so no domain: it reaches a bucket by what is exported.
	_, stdout, _ = here("nats-permissions", contract.RoleGateway, "--json", "--nats-domain", "hub")
	if got, own := decode[contract.Permissions](t, stdout), gatewayMay(); !slices.Equal(got.Publish, own.Publish) {
		t.Errorf("a gateway may publish to %q, want %q", got.Publish, own.Publish)
	}
}
