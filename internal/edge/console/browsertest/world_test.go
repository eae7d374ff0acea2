package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/demo"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const token = "a token that nobody has guessed"

// world is a DHT, some relays with events, and relaymesh up between them.
type world struct {
	console string // URL
	js      jetstream.JetStream
	pool    *relay.Pool
	home    string // URL of the pipeline's relay
	gateway string // URL of the gateway before it
	others  []string
	alice   *schnorr.SecretKey
	list    run.SignedList
}

// setUp starts the world once for all tests; they do not disturb each other.
func setUp(ctx context.Context, dir string) (*world, error) {
	w := &world{pool: relay.NewPool(relay.Options{AllowPrivate: true, Log: slog.New(slog.DiscardHandler)})}
	dht, err := dhtnet.Start(ctx, 24)
	if err != nil {
		return nil, err
	}
	now := time.Now().Unix()
	list, err := demo.MakeEvents(240, now)
	if err != nil {
		return nil, err
	}
	for range 3 {
		r, err := khatrutest.Start(ctx, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, err
		}
		w.others = append(w.others, r.URL())
	}
	for i, e := range list {
		if _, err := w.pool.At(w.others[i%len(w.others)]).Publish(ctx, e); err != nil { // one may have a newer version
			return nil, err
		}
	}
	natsAddr, relayAddr, admin, gatewayAddr := loopback.Addr(), loopback.Addr(), loopback.Addr(), loopback.Addr()
	tokenFile := filepath.Join(dir, "token")
	if err := os.WriteFile(tokenFile, []byte(strings.ReplaceAll(token, " ", "-")), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "up.log"))
	if err != nil {
		return nil, err
	}
	up := exec.CommandContext(ctx, filepath.Join(os.Getenv("RELAYMESH_BIN"), "relaymesh"), "up", "--data", filepath.Join(dir, "data"),
		"--nats-listen", natsAddr, "--relay-addr", relayAddr, "--admin", admin, "--console-token-file", tokenFile, "--allow-private",
		"--gateway", gatewayAddr, "--index", loopback.Addr(),
		"--dht-listen", "127.0.0.1:0", "--dht-bootstrap", strings.Join(dht.Bootstrap(), ","), "--dht-rate=-1", "--dht-per-node=-1")
	up.Stderr = log
	up.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := up.Start(); err != nil {
		return nil, fmt.Errorf("start relaymesh; has make build run? %w", err)
	}
	w.home, w.gateway, w.console = "ws://"+relayAddr, "ws://"+gatewayAddr, "http://"+admin
	if err := until(ctx, func() error {
		resp, err := http.Get(w.console + "/readyz")
		if err == nil {
			resp.Body.Close()
		}
		return err
	}); err != nil {
		return nil, err
	}
	var nc *nats.Conn
	if err := until(ctx, func() (err error) { // the console answers before there are NATS and the relay
		nc, err = nats.Connect("nats://" + natsAddr)
		return err
	}); err != nil {
		return nil, err
	}
	if err := until(ctx, func() error {
		_, err := relay.FetchInfo(ctx, w.home, relay.Options{AllowPrivate: true, Log: slog.New(slog.DiscardHandler)})
		return err
	}); err != nil {
		return nil, err
	}
	if w.js, err = jetstream.New(nc); err != nil {
		return nil, err
	}
	return w, w.fill(ctx, list, now)
}

// fill lets the pipeline do what it does: put lists on the DHT, sync with
// relays, give up on what cannot be.
func (w *world) fill(ctx context.Context, list []nostr.Event, now int64) (err error) {
	if w.alice, err = schnorr.NewSecret(); err != nil {
		return err
	}
	for i := range 12 {
		key := w.alice
		if i > 0 {
			if key, err = schnorr.NewSecret(); err != nil {
				return err
			}
		}
		signed, err := run.SignList(key, []string{w.others[i%3], w.others[(i+1)%3]}, now-int64(i))
		if err != nil {
			return err
		}
		if i == 0 {
			w.list = signed
		}
		if _, err := w.pool.At(w.home).Publish(ctx, signed.DHT); err != nil {
			return err
		}
	}
	for i, url := range append(w.others, "ws://127.0.0.1:9") {
		var authors []string
		for j, e := range list {
			if j%5 == i {
				authors = append(authors, e.PubKey)
			}
		}
		if err := w.send(ctx, events.SubjectRelayDiscovered,
			nostr.Encode(events.RelayDiscovered{URL: url, Authors: authors, Via: contract.ViaManual})); err != nil {
			return err
		}
	}
	return w.spoil(ctx, list)
}

// spoil sends what no stage can process, which becomes dead letters.
func (w *world) spoil(ctx context.Context, list []nostr.Event) error {
	forged := list[0]
	forged.Content += " and more"
	for subject, payload := range map[string]any{
		events.SubjectEventReceived:   forged,
		events.SubjectNoteMissing:     events.NoteMissing{EventID: "not an id <script>alert(1)</script>\u202e"},
		events.SubjectRelayListSigned: events.RelayListSigned{PubKey: w.alice.PublicKey(), Relays: []string{"wss://relay.example.com"}, Seq: 1},
		events.SubjectRelayDiscovered: events.RelayDiscovered{URL: "http://not-a-relay.example.com", Via: contract.ViaHint},
		events.SubjectAuthorSeen:      events.AuthorSeen{PubKey: strings.Repeat("f", 64), DHTKey: "zz"},
	} {
		if err := w.send(ctx, subject, nostr.Encode(payload)); err != nil {
			return err
		}
	}
	return until(ctx, func() error {
		stream, err := w.js.Stream(ctx, contract.StreamDLQ)
		if err == nil && stream.CachedInfo().State.Msgs < 4 {
			err = fmt.Errorf("%d dead letters", stream.CachedInfo().State.Msgs)
		}
		return err
	})
}

func (w *world) send(ctx context.Context, subject string, data []byte) error {
	_, err := w.js.Publish(ctx, subject, data)
	return err
}

// ask reads the JSON of a page.
func ask[T any](t *testing.T, w *world, path string) T {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.console+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var v T
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

// until calls f until it succeeds.
func until(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not in time: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
