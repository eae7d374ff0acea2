package peers

import (
	"context"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"go.uber.org/goleak"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/hornets"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestMain(m *testing.M) {
	// one per relay, which has no way to end it
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/fiatjaf/khatru.(*expirationManager).start"))
}

// signed are notes of one author, signed once for all tests.
var signed = sync.OnceValue(func() []nostr.Event { return hometest.Notes(300) })

func note(key *schnorr.SecretKey, e nostr.Event) nostr.Event {
	if err := key.SignEvent(&e); err != nil {
		panic(err)
	}
	return e
}

// startHornets starts a HORNETS relay with these events, as far as libp2p goes.
func startHornets(t *testing.T, list []nostr.Event) *hornets.Peer {
	t.Helper()
	key, _, err := crypto.GenerateSecp256k1Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := hornets.Start(key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	p.Add(list...)
	return p
}

// store is a bucket in memory.
type store map[string]contract.Relay

func (s store) Get(_ context.Context, key string) (contract.Relay, bool, error) {
	v, ok := s[key]
	return v, ok, nil
}

func (s store) Update(context.Context, string, func(contract.Relay, bool) (contract.Relay, bool)) (contract.Relay, error) {
	panic("not used")
}

func (s store) Remove(context.Context, string, func(contract.Relay) bool) (bool, error) {
	panic("not used")
}

func (s store) Each(context.Context, string, func(string, contract.Relay) error) error {
	panic("not used")
}

// world is a syncing stage beside a relay, with libp2p attached.
type world struct {
	stage    *syncing.Stage
	node     *node
	received chan string // ids that ingest was given
	deleted  map[string]bool
}

// attach makes a stage that stands beside a relay and listens for peers.
func attach(t *testing.T, home string, known store, only ...string) *world {
	t.Helper()
	return attachAs(t, config.Config{Relay: home, Only: only}, known)
}

// attachAs is attach with a configuration.
func attachAs(t *testing.T, c config.Config, known store) *world {
	t.Helper()
	c.AllowPrivate, c.P2P = true, config.P2P{Listen: "127.0.0.1:0", KeyFile: filepath.Join(t.TempDir(), "p2p", "key")}
	env, err := run.NewEnv(c, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(env.Close)
	run.WithLibp2p(Start)(env)
	net, listener, err := env.Relays(known)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	w := &world{received: make(chan string, 10_000), deleted: map[string]bool{}}
	w.stage = &syncing.Stage{
		Relays: known, Net: net, Local: c.Relay, Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Deleted: func(_ context.Context, e *nostr.Event) (bool, error) { return w.deleted[e.ID], nil },
		Publish: func(_ context.Context, out ...contract.Output) error {
			for _, o := range out {
				w.received <- o.ID
			}
			return nil
		},
	}
	if err := listener.Serve(c.P2P.Listen, env.Respond(w.stage)); err != nil {
		t.Fatal(err)
	}
	w.node = listener.(*node)
	return w
}

// relay is one of those that the stage talks to.
func (w *world) relay(t *testing.T, url string) reconcile.Relay {
	t.Helper()
	r, err := w.stage.Net.At(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// addr returns where the world listens, by a transport.
func (w *world) addr(transport string) string {
	addrs := w.node.host.Addrs()
	return addrs[slices.IndexFunc(addrs, func(a string) bool { return strings.Contains(a, "/"+transport+"/") })]
}
