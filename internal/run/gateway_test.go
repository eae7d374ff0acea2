package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// plainClient is a client that knows nothing of relaymesh.
type plainClient struct {
	t  *testing.T
	ws *websocket.Conn
}

func dialPlain(t *testing.T, url string) plainClient {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), url, nil) //nolint:bodyclose // Dial has read it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.CloseNow() })
	return plainClient{t, ws}
}

func (c plainClient) send(text string) {
	c.t.Helper()
	if err := c.ws.Write(c.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c plainClient) expect(want string) {
	c.t.Helper()
	_, got, err := c.ws.Read(c.t.Context())
	if strings.HasPrefix(string(got), `["AUTH",`) { // offered to who may miss a message
		_, got, err = c.ws.Read(c.t.Context())
	}
	if err != nil || string(got) != want {
		c.t.Fatalf("got %.300s, %v, want %.300s", got, err, want)
	}
}

// gatewayTestWait is what no test waits for.
const gatewayTestWait = 20 * time.Second

func startGateway(t *testing.T, w *natstest.World, user, relayURL string) (url string) {
	t.Helper()
	js := natstest.ConnectAs(t, w.Server, user, user)
	g, stop, err := StartGateway(t.Context(), GatewayAt{
		Relay: relayURL, Options: config.GatewayOptions{Wait: gatewayTestWait}, Metrics: prometheus.NewRegistry(),
	}, js, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return g.URL()
}

// A note that lies on another relay, and is named by its id alone, is in the answer
// of the relay before EOSE, and at the relay from then on; what a client publishes
// is at ingest, once. All of it works with the permissions of a gateway's user.
func TestGatewayWithAPipeline(t *testing.T) {
	t.Parallel()
	p, _ := contract.PermissionsOf(contract.RoleGateway)
	w := natstest.NewWorld(t, natstest.User(contract.RoleGateway, p))
	notes := hometest.Notes(3)
	home, other := hometest.Start(t), hometest.Start(t, notes[:2]...)
	writesAt(t, w, notes[0].PubKey, other)
	startFetcher(t, w, home)
	url := startGateway(t, w, contract.RoleGateway, home)
	c := dialPlain(t, url)
	for i, filter := range []string{`{"ids":["%s"]}`, `{"ids":["%s"],"limit":1}`} {
		// Under another id each: the relay may yet send what was written as of the first.
		id := fmt.Sprintf("%q", strconv.Itoa(i))
		c.send(`["REQ",` + id + `,` + fmt.Sprintf(filter, notes[i].ID) + `]`)
		c.expect(`["EVENT",` + id + `,` + string(nostr.Encode(notes[i])) + `]`)
		c.expect(`["EOSE",` + id + `]`)
	}
	if got := hometest.IDsAt(t, home); len(got) != 2 {
		t.Errorf("the relay has %d notes", len(got))
	}
	c.send(`["EVENT",` + string(nostr.Encode(notes[2])) + `]`)
	c.expect(`["OK","` + notes[2].ID + `",true,""]`)
	takenIn(t, w.JS, notes[2])
}

// writesAt notes that an author's list names a relay.
func writesAt(t *testing.T, w *natstest.World, pubkey, url string) {
	t.Helper()
	links, err := kv.Open[contract.Link](t.Context(), w.JS, contract.BucketLinks)
	if err != nil {
		t.Fatal(err)
	}
	key := contract.LinkKey(nostr.RelayKey(url), pubkey)
	if _, err := links.Update(t.Context(), key, func(contract.Link, bool) (contract.Link, bool) {
		return contract.Link{URL: url, Via: map[string]int64{contract.ViaNIP65: 1}}, true
	}); err != nil {
		t.Fatal(err)
	}
}

// startFetcher runs a fetcher beside a relay until the test ends.
func startFetcher(t *testing.T, w *natstest.World, home string) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	env, err := NewEnv(config.Config{Relay: home, AllowPrivate: true, Drain: time.Second, Fetch: config.Fetch{LostFor: time.Hour}}, w.JS, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return Fetcher(ctx, env) })
	t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
		env.Close()
	})
	awaitService(t, w, contract.NameNoteFetch)
}

// With nobody who resolves lists, be it on the DHT or at a list index, a REQ for the lists of authors who are
// nowhere waits for nothing, and what the relay or a relay of their lists has comes as before.
func TestListsWithoutDHTAndIndex(t *testing.T) {
	t.Parallel()
	p, _ := contract.PermissionsOf(contract.RoleGateway)
	w := natstest.NewWorld(t, natstest.User(contract.RoleGateway, p))
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	list := nostr.Event{Kind: nostr.KindRelayList, CreatedAt: 1_700_000_000, Tags: []nostr.Tag{{"r", "wss://relay.example.com"}}}
	profile := nostr.Event{Kind: 0, CreatedAt: 1_700_000_000, Content: "{}"}
	if err := errors.Join(key.SignEvent(&list), key.SignEvent(&profile)); err != nil {
		t.Fatal(err)
	}
	home, other := hometest.Start(t, list), hometest.Start(t, profile)
	writesAt(t, w, profile.PubKey, other)
	nowhere := make([]string, 20)
	for i := range nowhere { // whose lists would be resolved
		nowhere[i] = fmt.Sprintf("%064x", i)
		author := contract.Author{DHTKey: nowhere[i], DHTKeyBy: nowhere[i]}
		if _, err := w.JS.Publish(t.Context(), "$KV."+contract.BucketAuthors+"."+nowhere[i], nostr.Encode(author)); err != nil {
			t.Fatal(err)
		}
	}
	startFetcher(t, w, home)
	c := dialPlain(t, startGateway(t, w, contract.RoleGateway, home))
	begun := time.Now()
	for _, author := range nowhere {
		c.send(`["REQ","x",{"kinds":[0,3,10002,10050],"authors":["` + author + `"]}]`)
		c.expect(`["EOSE","x"]`)
	}
	if took := time.Since(begun); took > gatewayTestWait {
		t.Errorf("authors who are nowhere took %s, as if the first had been waited for", took)
	}
	for _, want := range []nostr.Event{list, profile} { // what is found comes live, too, while its subscription is open
		c.send(fmt.Sprintf(`["REQ","y",{"kinds":[%d],"authors":["%s"]}]`, want.Kind, want.PubKey))
		c.expect(`["EVENT","y",` + string(nostr.Encode(want)) + `]`)
		c.expect(`["EOSE","y"]`)
	}
}

// takenIn waits until the intake holds an event, as the first.
func takenIn(t *testing.T, js jetstream.JetStream, e nostr.Event) {
	t.Helper()
	consumer, err := js.Consumer(t.Context(), contract.StreamIntake, contract.ConsumerIngest)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next(jetstream.FetchMaxWait(time.Minute))
	if err != nil || string(msg.Data()) != string(nostr.Encode(e)) {
		t.Errorf("the intake holds %v, %v", msg, err)
	}
}

// Without NATS the gateway is a proxy that waits for nothing; what the relay accepts
// meanwhile is taken in when NATS is there.
func TestGatewayWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	home, dir, note := hometest.Start(t), natstest.Dir(t), hometest.Notes(1)[0]
	addr := loopback.Addr()
	ctx, cancel := context.WithCancel(t.Context())
	urls, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- Gateway(ctx, config.Gateway{
			Relay: home, Listen: "127.0.0.1:0", NATS: "nats://" + addr, Admin: "127.0.0.1:0",
			GatewayOptions: config.GatewayOptions{Wait: time.Hour},
		}, nil, slog.New(slog.DiscardHandler), func(url string) { urls <- url })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c := dialPlain(t, <-urls)
	c.send(`["EVENT",` + string(nostr.Encode(note)) + `]`)
	c.expect(`["OK","` + note.ID + `",true,""]`)
	for range 3 {
		c.send(`["REQ","x",{"ids":["` + strings.Repeat("a", 64) + `"]}]`)
		c.expect(`["EOSE","x"]`)
	}
	answeredAlike(t, dialPlain(t, home), c)
	server, err := natsd.Start(natsd.Config{Dir: dir, Listen: addr, MaxStore: 1 << 40, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	nc, err := server.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	takenIn(t, js, note)
}

// answeredAlike has two clients ask for all that a relay answers, and compares what they are told.
func answeredAlike(t *testing.T, direct, through plainClient) {
	t.Helper()
	for _, text := range []string{
		`["COUNT","c",{"kinds":[1]}]`, `["NEG-OPEN","n",{"kinds":[1]},"6100000200"]`, `["NEG-CLOSE","n"]`, `["REQ","r",{"search":"x"}]`,
		`["NONSENSE"]`, `not JSON`, `["EVENT",{"id":"forged"}]`, `["REQ","l",{"kinds":[1],"limit":0}]`,
	} {
		direct.send(text)
		if strings.HasPrefix(text, `["NEG-CLOSE"`) { // has no answer
			through.send(text)
			continue
		}
		_, want, err := direct.ws.Read(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		through.send(text)
		through.expect(string(want))
	}
}

// awaitService waits until somebody offers a service.
func awaitService(t *testing.T, w *natstest.World, name string) {
	t.Helper()
	for ; ; time.Sleep(time.Millisecond) {
		if _, err := w.JS.Conn().Request("$SRV.PING."+name, nil, time.Second); err == nil {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("nobody offers ", name)
		}
	}
}

// A public name of the relay that we stand beside is not dialled: it may lead to a
// gateway of ours.
func TestPublicNameOfOurRelayIsNotDialled(t *testing.T) {
	t.Parallel()
	r := newRelays(config.Config{
		Relay: "ws://127.0.0.1:7777", PublicURLs: []string{"wss://relay.example.com"},
	}, relay.Options{Log: slog.New(slog.DiscardHandler)})
	defer r.close()
	for url, dialled := range map[string]bool{
		"wss://relay.example.com": false, "wss://relay.example.com/": false, "wss://Relay.Example.com": false,
		"wss://relay.example.com:443": false, "wss://relay.example.com.": false, "wss://other.example.com": true, "ws://127.0.0.1:7777": true,
	} {
		normal, err := nostr.NormalizeRelayURL(url, true) // as lists are read
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.pool(t.Context(), normal); (err == nil) != dialled {
			t.Errorf("%s: %v", url, err)
		}
	}
}
